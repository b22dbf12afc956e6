# Everything made is under $(BUILD). Sources are found by wildcard.
PREFIX ?= /usr/local
CC ?= cc
CFLAGS ?= -O3 -g
BUILD ?= build
HBCC_SHARED ?= ../shared
PKGS := libprotobuf-c zlib yaml-0.1 jansson
IMAGE_PKGS := $(foreach p,libjpeg libpng,$(shell pkg-config --exists $(p) 2>/dev/null && echo $(p)))

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wmissing-prototypes -Wstrict-prototypes
# Floating point means the same on every path (law 3): no contraction, no reassociation.
FIXED := -std=c11 -D_GNU_SOURCE -ffp-contract=off -fno-math-errno -fno-trapping-math -MMD -MP -I. -I$(BUILD)/gen $(WARN)
FIXED += $(if $(filter libjpeg,$(IMAGE_PKGS)),-DHB_HAVE_JPEG) $(if $(filter libpng,$(IMAGE_PKGS)),-DHB_HAVE_PNG)
FIXED += $(shell pkg-config --cflags $(PKGS) $(IMAGE_PKGS) 2>/dev/null)
LIBS := $(shell pkg-config --libs $(PKGS) $(IMAGE_PKGS) 2>/dev/null) -lm -lpthread
NDEBUG ?= -DNDEBUG

LIB_SRC := $(wildcard lib/*/*.c ops/*.c march/*.c)
CLI_SRC := $(wildcard cli/*.c)
TEST_SRC := $(wildcard tests/unit/*.c tests/ops/*.c)
GEN := $(BUILD)/gen/onnx.pb-c.c
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o) $(BUILD)/gen/onnx.pb-c.o
CLI_OBJ := $(CLI_SRC:%.c=$(BUILD)/%.o)
TESTS := $(TEST_SRC:%.c=$(BUILD)/%)

all: $(BUILD)/hbcc

$(BUILD)/hbcc: $(CLI_OBJ) $(BUILD)/libhbcc.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/libhbcc.a: $(LIB_OBJ)
	rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/%.o: %.c $(GEN)
	@mkdir -p $(@D)
	$(CC) $(FIXED) $(NDEBUG) $(CFLAGS) -c -o $@ $<

$(BUILD)/gen/onnx.pb-c.c: lib/onnx/onnx.proto
	@mkdir -p $(@D)
	protoc-c --c_out=$(BUILD)/gen -Ilib/onnx $<

$(BUILD)/gen/onnx.pb-c.o: $(GEN)
	$(CC) -std=c11 -O2 -I$(BUILD)/gen $(filter -f%,$(CFLAGS)) -c -o $@ $<

$(BUILD)/tests/%: tests/%.c $(BUILD)/libhbcc.a
	@mkdir -p $(@D)
	$(CC) $(FIXED) $(CFLAGS) $(shell pkg-config --cflags cmocka) $(LDFLAGS) -o $@ $< $(BUILD)/libhbcc.a $(shell pkg-config --libs cmocka) $(LIBS)

check: all $(TESTS)
	tests/run.sh $(BUILD)

clean:
	rm -rf $(BUILD)

-include $(LIB_OBJ:.o=.d) $(CLI_OBJ:.o=.d) $(TESTS:=.d)

.PHONY: all check clean
