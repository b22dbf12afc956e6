"""Writes the models of tests/fault/models and the corpus of tests/fuzz/fuzz_onnx.c (needs python3-onnx)."""
import onnx, numpy as np, os
from onnx import helper as h, TensorProto as T, numpy_helper as nh
D='tests/fuzz/corpus_onnx/'
def f(name,*s): return h.make_tensor_value_info(name,T.FLOAT,list(s) if s!=(None,) else None)
def save(n,g,opset=13,ir=8,functions=None,meta=None,extra=()):
    m=h.make_model(g,opset_imports=[h.make_opsetid('',opset)]+[h.make_opsetid(d,1) for d in extra],producer_name='t',ir_version=ir,**({'functions':functions} if functions else {}))
    if meta: h.set_model_props(m,meta)
    open(D+n+'.onnx','wb').write(m.SerializeToString())
A=lambda x,n:nh.from_array(np.array(x),n)
F=lambda x:np.array(x,np.float32)
save('conv',h.make_graph([h.make_node('Conv',['x','w','b'],['c'],name='conv',pads=[1,1,1,1]),h.make_node('Relu',['c'],['y'])],'g',[f('x','N',1,4,4)],[f('y','N',2,4,4)],[A(F(np.ones((2,1,3,3))),'w'),A(F([0,1]),'b')]))
t=h.make_tensor('w',T.FLOAT,[3],[1,2,3])
save('typed',h.make_graph([h.make_node('Add',['x','w'],['a']),h.make_node('Cast',['i'],['k'],to=1),h.make_node('Mul',['a','k'],['y'])],'g',[f('x',2,3),f('w',3)],[f('y',None)],[t,h.make_tensor('i',T.INT32,[3],[1,-2,3])]),7)
save('half',h.make_graph([h.make_node('Add',['x','w'],['y']),h.make_node('Add',['y','d'],['z'])],'g',[h.make_tensor_value_info('x',T.FLOAT16,[2])],[h.make_tensor_value_info('y',T.FLOAT16,[2]),f('z',2)],[h.make_tensor('w',T.FLOAT16,[2],[1,2]),A(np.array([1.,2.]),'d')]))
for i,kw in enumerate([dict(value=A(F([[1,2]]),'v')),dict(value_float=1.5),dict(value_floats=[1.,2.]),dict(value_int=3),dict(value_ints=[1,2])]):
    save('constant%d'%i,h.make_graph([h.make_node('Constant',[],['c'],**kw),h.make_node('Identity',['c'],['y'])],'g',[],[h.make_tensor_value_info('y',T.FLOAT if i<3 else T.INT64,None)]))
save('unsorted',h.make_graph([h.make_node('Relu',['b'],['y'],name='n'),h.make_node('Abs',['a'],['b'],name='n'),h.make_node('Neg',['x'],['a'],name='n')],'g',[f('x',3)],[f('y',3)]))
save('cycle',h.make_graph([h.make_node('Add',['x','b'],['a'],name='first'),h.make_node('Abs',['a'],['b'],name='second')],'g',[f('x',3)],[f('b',3)]))
save('clip6',h.make_graph([h.make_node('Clip',['x'],['a'],min=0.,max=6.),h.make_node('Softmax',['a'],['b'],axis=1),h.make_node('Upsample',['b'],['y'],mode='nearest',scales=[1.,1.,2.,2.])],'g',[f('x',1,2,3,3)],[f('y',1,2,6,6)]),7)
save('add6',h.make_graph([h.make_node('Add',['x','w'],['a'],broadcast=1,axis=1),h.make_node('Pad',['a'],['b'],pads=[0,0,0,1],value=1.5),h.make_node('Squeeze',['b'],['y'],axes=[0])],'g',[f('x',1,3)],[f('y',4)],[A(F([1,2,3]),'w')]),6,3)
save('wide',h.make_graph([h.make_node('ReduceMean',['x','ax'],['a'],keepdims=1),h.make_node('Gelu',['a'],['b']),h.make_node('Split',['b'],['y','z'],axis=1,num_outputs=2)],'g',[f('x',2,4,3)],[f('y',None),f('z',None)],[A(np.array([2]),'ax')]),20,9)
save('qdq',h.make_graph([h.make_node('QuantizeLinear',['x','s','z'],['q']),h.make_node('DequantizeLinear',['q','s','z'],['y'])],'g',[f('x',2,2)],[f('y',2,2)],[A(F(0.1),'s'),A(np.int8(0),'z')]),meta={'hbcc.q:y':'int8 scale=0.1 min=-12.7 max=12.7 observer=fixed','hbcc.uncalibrated':'1','k':'v'})
then=h.make_graph([h.make_node('Add',['x','one'],['t'])],'then',[],[f('t',None)],[A(F([1]),'one')])
els=h.make_graph([h.make_node('Neg',['x'],['e'])],'else',[],[f('e',None)])
save('if',h.make_graph([h.make_node('If',['c'],['y'],then_branch=then,else_branch=els)],'g',[h.make_tensor_value_info('c',T.BOOL,[]),f('x',2)],[f('y',None)]))
body=h.make_graph([h.make_node('Identity',['c0'],['c1']),h.make_node('Add',['s0','x'],['s1'])],'body',[h.make_tensor_value_info('i',T.INT64,[]),h.make_tensor_value_info('c0',T.BOOL,[]),f('s0',2)],[h.make_tensor_value_info('c1',T.BOOL,[]),f('s1',2)])
save('loop',h.make_graph([h.make_node('Loop',['n','','x'],['y'],body=body)],'g',[f('x',2)],[f('y',2)],[A(np.array(3),'n')]))
fn=h.make_function('my','Scale',['a'],['b'],[h.make_node('Constant',[],['k']),h.make_node('Mul',['a','k'],['b'])],[h.make_opsetid('',13)],['factor'])
at=fn.node[0].attribute.add(); at.name='value_float'; at.ref_attr_name='factor'; at.type=1
fn2=h.make_function('my','Twice',['a'],['b'],[h.make_node('Scale',['a'],['m'],domain='my',factor=2.0),h.make_node('Scale',['m'],['b'],domain='my',factor=3.0)],[h.make_opsetid('',13),h.make_opsetid('my',1)],[])
save('function',h.make_graph([h.make_node('Twice',['x'],['y'],domain='my',name='call'),h.make_node('Scale',['y'],['z'],domain='my',name='call2',factor=0.5)],'g',[f('x',2)],[f('z',2)]),functions=[fn,fn2],extra=['my'])
ext=T(); ext.name='w'; ext.data_type=1; ext.dims.append(2); ext.data_location=1
for k,v in(('location','w.bin'),('offset','0'),('length','8')):
    e=ext.external_data.add(); e.key=k; e.value=v
save('external',h.make_graph([h.make_node('Add',['x','w'],['y'])],'g',[f('x',2)],[f('y',2)],[ext]))
save('missing',h.make_graph([h.make_node('Add',['x','nowhere'],['y'],name='n'),h.make_node('Frob',['x'],['z']),h.make_node('Blah',['x'],['u'],domain='com.x')],'g',[f('x',2)],[f('y',2)]),extra=['com.x'])
save('hbir',h.make_graph([h.make_node('Reshape',['x'],['y'],domain='hbcc',shape=[2,2])],'g',[h.make_tensor_value_info('x',T.INT8,[4])],[h.make_tensor_value_info('y',T.INT8,[2,2])]),17,extra=['hbcc'],meta={'hbcc.q:x':'int8 axis=0 scale=1,2,3,4'})
save('gru',h.make_graph([h.make_node('GRU',['x','w','r'],['','h'],hidden_size=1,activations=['Sigmoid','Tanh'],direction='forward')],'g',[f('x',1,1,1)],[f('h',None)],[A(F(np.ones((1,3,1))),'w'),A(F(np.ones((1,3,1))),'r')]),14)

# Models that are wrong in one way each, for tests/cli/faults.sh.
D = 'tests/fault/models/'
relu = lambda: [h.make_node('Relu', ['x'], ['y'], name='n')]
save('future', h.make_graph(relu(), 'g', [f('x', 2)], [f('y', 2)]), 26)
save('symbolic', h.make_graph(relu(), 'g', [f('x', 'N', 3, 'H', 'W')], [f('y', None)]))
int4 = h.make_tensor('w', T.INT8, [2], [1, 2])
int4.data_type = 22
save('int4', h.make_graph([h.make_node('DequantizeLinear', ['w', 's'], ['y'], name='n')], 'g', [], [f('y', None)],
                          [int4, A(F(0.5), 's')]))
save('huge', h.make_graph([h.make_node('ConstantOfShape', ['s'], ['c'], name='fill'), h.make_node('Add', ['x', 'c'], ['y'], name='n')],
                          'g', [f('x', 1)], [f('y', None)], [A(np.array([1 << 20, 1 << 20]), 's')]))
save('overflow', h.make_graph([h.make_node('ConstantOfShape', ['s'], ['y'], name='fill')], 'g', [], [f('y', None)],
                              [A(np.array([1 << 40, 1 << 40]), 's')]))
escape = T()
escape.CopyFrom(ext)
escape.external_data[0].value = '../../../../etc/passwd'
save('escape', h.make_graph([h.make_node('Add', ['x', 'w'], ['y'], name='n')], 'g', [f('x', 2)], [f('y', 2)], [escape]))
short = h.make_tensor('w', T.FLOAT, [3], b'\0' * 12, raw=True)
short.raw_data = b'\0' * 11
save('short-data', h.make_graph([h.make_node('Add', ['x', 'w'], ['y'], name='n')], 'g', [f('x', 3)], [f('y', 3)], [short]))
save('sequence', h.make_graph(relu(), 'g', [f('x', 2), h.make_tensor_sequence_value_info('s', T.FLOAT, None)], [f('y', 2)]))
save('wrong-type', h.make_graph([h.make_node('Add', ['x', 'i'], ['y'], name='n')], 'g', [f('x', 2)], [f('y', 2)], [A(np.array([1, 2]), 'i')]))
save('no-broadcast', h.make_graph([h.make_node('Add', ['x', 'w'], ['y'], name='n')], 'g', [f('x', 2)], [f('y', 2)], [A(F([1, 2, 3]), 'w')]))
