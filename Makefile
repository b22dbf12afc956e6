# Everything made is under $(BUILD). Sources are found by wildcard: a new file needs no edit here.
PREFIX ?= /usr/local
DESTDIR ?=
CC ?= cc
CFLAGS ?= -O3 -g
BUILD ?= build
HBCC_SHARED ?= ../shared
export HBCC_SHARED

PKGS := libprotobuf-c zlib yaml-0.1 jansson
# Asked of pkg-config once, at first use: by then `deps` may have installed them.
once = $(eval $(1) := $(2))$(2)
IMAGE_PKGS = $(call once,IMAGE_PKGS,$(foreach p,libjpeg libpng,$(shell pkg-config --exists $(p) && echo $(p))))
PKG_CFLAGS = $(call once,PKG_CFLAGS,$(shell pkg-config --cflags $(PKGS) $(IMAGE_PKGS)))
LIBS = $(call once,LIBS,$(shell pkg-config --libs $(PKGS) $(IMAGE_PKGS)) -lm -lpthread)
DEBIAN := gcc make pkg-config libprotobuf-c-dev protobuf-c-compiler zlib1g-dev libyaml-dev libjansson-dev \
	libjpeg62-turbo-dev libpng-dev libcmocka-dev clang mandoc

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wmissing-prototypes -Wstrict-prototypes
# Floating point means the same on every path (DESIGN, law 3): no contraction, no reassociation.
FIXED = -std=c11 -D_GNU_SOURCE -ffp-contract=off -fno-math-errno -fno-trapping-math -MMD -MP -I. -I$(BUILD)/gen $(WARN) \
	$(if $(filter libjpeg,$(IMAGE_PKGS)),-DHB_HAVE_JPEG) $(if $(filter libpng,$(IMAGE_PKGS)),-DHB_HAVE_PNG) $(PKG_CFLAGS)
# Assertions are for check and sanitize; the default build is without.
NDEBUG ?= -DNDEBUG

LIB_SRC := $(wildcard lib/*/*.c ops/*.c march/*.c)
CLI_SRC := $(wildcard cli/*.c)
TEST_SRC := $(wildcard tests/unit/*.c tests/ops/*.c tests/ir/*.c tests/fault/*.c tests/conform/*.c)
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
GEN := $(BUILD)/gen/onnx.pb-c.c
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o) $(BUILD)/gen/onnx.pb-c.o
CLI_OBJ := $(CLI_SRC:%.c=$(BUILD)/%.o)
TOOLS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/tools/*.c))
TESTS := $(TEST_SRC:%.c=$(BUILD)/%) $(FUZZ_SRC:%.c=$(BUILD)/%) $(TOOLS)
# Each march's page is its own tables, as the program prints them.
MARCHES := $(subst _,-,$(shell sed -n 's/^HB_MARCH(\(.*\))$$/\1/p' march/march.def))
MARCH_MAN := $(MARCHES:%=$(BUILD)/man/hbcc-march-%.5)
MAN := $(wildcard man/*.1 man/*.5) $(MARCH_MAN)

all: $(BUILD)/hbcc $(MARCH_MAN)

$(BUILD)/hbcc: $(CLI_OBJ) $(BUILD)/libhbcc.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(MARCH_MAN): $(BUILD)/man/hbcc-march-%.5: $(BUILD)/hbcc
	@mkdir -p $(@D)
	$(BUILD)/hbcc march $* --ops --format man > $@

$(BUILD)/libhbcc.a: $(LIB_OBJ)
	rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/%.o: %.c | $(GEN)
	@mkdir -p $(@D)
	$(CC) $(FIXED) $(NDEBUG) $(CFLAGS) -c -o $@ $<

$(BUILD)/gen/onnx.pb-c.c: lib/onnx/onnx.proto
	@mkdir -p $(@D)
	protoc-c --c_out=$(BUILD)/gen -Ilib/onnx $<

# Generated code is not held to our warnings.
$(BUILD)/gen/onnx.pb-c.o: $(GEN)
	$(CC) -std=c11 $(CFLAGS) -I$(BUILD)/gen -c -o $@ $<

$(BUILD)/tests/%: tests/%.c $(BUILD)/libhbcc.a
	@mkdir -p $(@D)
	$(CC) $(FIXED) $(CFLAGS) $(LDFLAGS) -o $@ $< $(BUILD)/libhbcc.a -lcmocka $(LIBS)

# Everything that needs no $(HBCC_SHARED).
check: all $(TESTS)
	tests/run.sh $(BUILD)

# The small models of $(HBCC_SHARED) and its operator cases.
check-shared: all $(TESTS)
	tests/shared.sh $(BUILD) short

# All models, marches, levels, vector widths, both compilers, fuzzers.
check-long: check check-shared
	tests/shared.sh $(BUILD) long
	$(MAKE) BUILD=$(BUILD)/clang CC=clang all
	tests/shared.sh $(BUILD) compilers $(BUILD)/clang
	$(MAKE) sanitize
	$(MAKE) fuzz FUZZ_SECONDS=600

sanitize:
	$(MAKE) BUILD=$(BUILD)/sanitize NDEBUG= CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all" check

FUZZ_SECONDS ?= 60
fuzz:
	$(MAKE) BUILD=$(BUILD)/fuzz CC=clang NDEBUG= \
		CFLAGS="-O1 -g -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all" $(BUILD)/fuzz/libhbcc.a
	tests/fuzz/run.sh $(BUILD)/fuzz $(FUZZ_SECONDS)

coverage:
	$(MAKE) BUILD=$(BUILD)/coverage NDEBUG= CFLAGS="-O0 -g --coverage" check
	tests/coverage.sh $(BUILD)/coverage

bench: all $(BUILD)/tests/tools/bench
	tests/bench.sh $(BUILD)

# What each option for accuracy gains on the models of $(HBCC_SHARED); the table of hbcc-compile(1).
gains: all $(BUILD)/tests/tools/gains
	tests/gains.sh $(BUILD)

# Rewrites the expected output of the command-line cases; read the diff before it is committed.
accept: all $(TOOLS) $(BUILD)/tests/unit/march_operators
	tests/run.sh $(BUILD) accept

demo: all
	samples/demo.sh $(BUILD)/hbcc

# What is missing of the packages that build, run and test need. Needs to be root only then.
deps:
	@missing=; for p in $(DEBIAN); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then echo "installing$$missing"; apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; fi

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib $(DESTDIR)$(PREFIX)/include \
		$(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man5
	install -m 755 $(BUILD)/hbcc $(DESTDIR)$(PREFIX)/bin/hbcc
	install -m 644 $(BUILD)/libhbcc.a $(DESTDIR)$(PREFIX)/lib/libhbcc.a
	install -m 644 lib/hbcc.h $(DESTDIR)$(PREFIX)/include/hbcc.h
	for m in $(MAN); do install -m 644 $$m $(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/; done

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/hbcc $(DESTDIR)$(PREFIX)/lib/libhbcc.a $(DESTDIR)$(PREFIX)/include/hbcc.h
	for m in $(MAN); do rm -f $(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/$$(basename $$m); done

clean:
	rm -rf $(BUILD)

-include $(LIB_OBJ:.o=.d) $(CLI_OBJ:.o=.d) $(TESTS:=.d)

# `make deps demo` installs before it builds.
$(if $(filter deps,$(MAKECMDGOALS)),$(eval .NOTPARALLEL:))

.PHONY: all check check-shared check-long sanitize fuzz coverage bench gains accept demo deps install uninstall clean
.DELETE_ON_ERROR:
