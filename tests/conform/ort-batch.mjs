#!/usr/bin/env node
// ort-batch.mjs LIST: runs the models that the JSON file LIST names in ONNX Runtime, of $ORT_DIR, in one process.
// LIST: [{"model", "inputs": [{"name", "type", "dims", "file"}], "out"}]; files hold raw little-endian elements.
// Writes OUT.N (raw) for output N and, for all, LIST.done: [{"outputs": [{"type", "dims"}]} or {"error"}].
import { createRequire } from 'node:module';
import fs from 'node:fs';
import path from 'node:path';

const ort = createRequire(path.resolve(process.env.ORT_DIR ?? '.', 'package.json'))('onnxruntime-node');
const ARRAYS = {
  float32: Float32Array, float64: Float64Array, float16: Uint16Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array,
  uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array, bool: Uint8Array,
};
const options = { intraOpNumThreads: 1, interOpNumThreads: 1, graphOptimizationLevel: 'disabled', logSeverityLevel: 4 };

async function one(c) {
  const session = await ort.InferenceSession.create(c.model, options);
  const feeds = {};
  for (const i of c.inputs) {
    const bytes = new Uint8Array(fs.readFileSync(i.file)).buffer;
    feeds[i.name] = new ort.Tensor(i.type, new ARRAYS[i.type](bytes), i.dims);
  }
  const results = await session.run(feeds);
  const outputs = session.outputNames.map((name, k) => {
    const t = results[name];
    fs.writeFileSync(`${c.out}.${k}`, Buffer.from(t.data.buffer, t.data.byteOffset, t.data.byteLength));
    return { type: t.type, dims: t.dims };
  });
  await session.release();
  return { outputs };
}

const list = JSON.parse(fs.readFileSync(process.argv[2]));
const done = [];
for (const c of list) {
  try {
    done.push(await one(c));
  } catch (e) {
    done.push({ error: String(e.message ?? e) });
  }
}
fs.writeFileSync(`${process.argv[2]}.done`, JSON.stringify(done));
