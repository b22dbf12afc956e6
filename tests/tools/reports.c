/* reports sarif|junit FILE: holds a report against what its standard requires; prints what is amiss, or the counts.
 * SARIF 2.1.0: the properties that the standard says "shall" be present, their types, references that hold.
 * JUnit: well-formed XML, and a suite whose counts are those of its cases. */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int amiss;

static void
say(const char *where, const char *what)
{
	printf("%s: %s\n", where, what);
	amiss++;
}

/* ---- SARIF ---- */

static json_t *
need(json_t *o, const char *key, json_type type, const char *where)
{
	json_t *v = json_object_get(o, key);

	if (!v || (json_typeof(v) != type && !(type == JSON_TRUE && json_is_boolean(v)))) {
		say(where, key);
		return NULL;
	}
	return v;
}

static bool
is_uri(const char *s)
{
	for (; *s; s++)
		if (*s <= ' ' || *s > '~' || strchr("<>\"{}|\\^`", *s))
			return false;
	return true;
}

static void
check_result(json_t *r, json_t *rules)
{
	static const char *const levels[] = { "none", "note", "warning", "error" };
	json_t *message = need(r, "message", JSON_OBJECT, "result");
	json_t *id = need(r, "ruleId", JSON_STRING, "result"), *at = need(r, "ruleIndex", JSON_INTEGER, "result");
	json_t *level = need(r, "level", JSON_STRING, "result"), *places = need(r, "locations", JSON_ARRAY, "result"), *l;
	bool known = false;
	size_t i;

	if (message)
		need(message, "text", JSON_STRING, "message");
	for (i = 0; level && i < 4; i++)
		known = known || !strcmp(json_string_value(level), levels[i]);
	if (!known)
		say("result", "level is none of the standard's");
	json_t *rule = at ? json_array_get(rules, (size_t)json_integer_value(at)) : NULL;
	if (!rule || !id || strcmp(json_string_value(json_object_get(rule, "id")), json_string_value(id)))
		say("result", "ruleIndex is not that of ruleId");
	if (!places || !json_array_size(places))
		say("result", "no location");
	json_array_foreach(places, i, l) {
		json_t *p = need(l, "physicalLocation", JSON_OBJECT, "location"), *a = p ? need(p, "artifactLocation", JSON_OBJECT, "physicalLocation") : NULL;
		json_t *uri = a ? need(a, "uri", JSON_STRING, "artifactLocation") : NULL;
		json_t *logical = need(l, "logicalLocations", JSON_ARRAY, "location");

		if (uri && !is_uri(json_string_value(uri)))
			say("artifactLocation", "uri is none");
		if (!logical || !json_array_size(logical) || !need(json_array_get(logical, 0), "name", JSON_STRING, "logicalLocation"))
			say("location", "does not name the node");
	}
}

static void
sarif(const char *path)
{
	json_error_t e;
	json_t *j = json_load_file(path, JSON_REJECT_DUPLICATES, &e), *runs, *run, *v;
	size_t i, k, n;

	if (!j) {
		say(path, e.text);
		return;
	}
	v = need(j, "version", JSON_STRING, "log");
	if (v && strcmp(json_string_value(v), "2.1.0"))
		say("log", "version is not 2.1.0");
	need(j, "$schema", JSON_STRING, "log");
	runs = need(j, "runs", JSON_ARRAY, "log");
	json_array_foreach(runs, i, run) {
		json_t *tool = need(run, "tool", JSON_OBJECT, "run"), *driver = tool ? need(tool, "driver", JSON_OBJECT, "tool") : NULL;
		json_t *rules = driver ? need(driver, "rules", JSON_ARRAY, "driver") : NULL, *results = need(run, "results", JSON_ARRAY, "run"), *r;

		if (driver)
			need(driver, "name", JSON_STRING, "driver");
		n = json_array_size(rules);
		for (k = 0; k < n; k++) {
			json_t *text = need(json_array_get(rules, k), "shortDescription", JSON_OBJECT, "rule");
			json_t *id = need(json_array_get(rules, k), "id", JSON_STRING, "rule");

			if (text)
				need(text, "text", JSON_STRING, "shortDescription");
			for (size_t m = 0; id && m < k; m++)
				if (json_equal(id, json_object_get(json_array_get(rules, m), "id")))
					say("rule", "an id twice");
		}
		json_array_foreach(results, k, r)
			check_result(r, rules);
		json_t *calls = json_object_get(run, "invocations"), *call;
		json_array_foreach(calls, k, call)
			need(call, "executionSuccessful", JSON_TRUE, "invocation");
		printf("sarif: %zu rules, %zu results\n", n, json_array_size(results));
	}
	json_decref(j);
}

/* ---- JUnit ---- */

enum { DEEP = 16, NAME = 64 };

static long
attribute(const char *tag, const char *name)
{
	char key[NAME];

	snprintf(key, sizeof(key), " %s=\"", name);
	const char *p = strstr(tag, key);
	return p ? strtol(p + strlen(key), NULL, 10) : -1;
}

static bool
is_text(const char *p, const char *end)
{
	static const char *const entities[] = { "&lt;", "&gt;", "&amp;", "&quot;", "&apos;" };

	for (; p < end; p++) {
		bool known = *p != '&';
		for (size_t i = 0; i < 5 && !known; i++)
			known = !strncmp(p, entities[i], strlen(entities[i]));
		if (!known || *p == '<')
			return false;
	}
	return true;
}

static void
junit(const char *path)
{
	static char text[1 << 20];
	char open[DEEP][NAME];
	int depth = 0;
	long cases = 0, failures = 0, skipped = 0, want[3] = { -1, -1, -1 };
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	if (f)
		fclose(f);
	text[n] = 0;
	for (char *p = text; *p;) {
		char *tag = strchr(p, '<'), *end = tag ? strchr(tag, '>') : NULL, name[NAME];

		if (!tag || !end)
			break;
		if (!is_text(p, tag))
			say(path, "a character that text must not hold");
		*end = 0;
		p = end + 1;
		if (tag[1] == '?')
			continue;
		bool closes = tag[1] == '/', empty = end[-1] == '/';
		sscanf(tag + 1 + closes, "%63[A-Za-z]", name);
		if (closes) {
			if (!depth || strcmp(open[--depth], name))
				say(name, "closes what is not open");
			continue;
		}
		cases += !strcmp(name, "testcase");
		failures += !strcmp(name, "failure");
		skipped += !strcmp(name, "skipped");
		if (!strcmp(name, "testcase") && (!strstr(tag, " name=\"") || !strstr(tag, " classname=\"")))
			say("testcase", "name or classname is missing");
		if (!strcmp(name, "testsuite")) {
			want[0] = attribute(tag, "tests");
			want[1] = attribute(tag, "failures");
			want[2] = attribute(tag, "skipped");
		}
		if (!empty && depth < DEEP)
			snprintf(open[depth++], NAME, "%s", name);
	}
	if (depth)
		say(open[depth - 1], "is not closed");
	if (want[0] != cases || want[1] != failures || want[2] != skipped)
		say("testsuite", "counts are not those of its cases");
	printf("junit: %ld cases, %ld failures, %ld skipped\n", cases, failures, skipped);
}

int
main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	(!strcmp(argv[1], "sarif") ? sarif : junit)(argv[2]);
	return amiss ? 1 : 0;
}
