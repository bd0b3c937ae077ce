/* The inside of the fake: a device over directories (state.c, faults.c, objects.c) and libmtp's
 * functions above it (library.c). The fault model is in the package's docstring. */
#ifndef FAKE_H
#define FAKE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* The rest is hidden by -fvisibility=hidden: nothing of ours may clash with the caller's names. */
#pragma GCC visibility push(default)
#if !defined(FAKE_OWN_HEADER) && __has_include(<libmtp.h>)
#include <libmtp.h>
#else
#include "abi.h"
#endif
#ifdef FAKE_NEWER /* 1.1.21 added these */
int LIBMTP_Get_Children(LIBMTP_mtpdevice_t *, uint32_t const, uint32_t const, uint32_t **);
void LIBMTP_FreeMemory(void *);
#endif
#pragma GCC visibility pop

enum {
    RC_OK = 0x2001,
    RC_GENERAL = 0x2002,
    RC_NO_SESSION = 0x2003,
    RC_UNSUPPORTED = 0x2005,
    RC_BAD_STORAGE = 0x2008,
    RC_BAD_HANDLE = 0x2009,
    RC_STORE_FULL = 0x200c,
    RC_READ_ONLY = 0x200e,
    RC_PARTIAL_DELETION = 0x2012,
    RC_NO_STORE = 0x2013,
    RC_BAD_PARENT = 0x201a,
    RC_BAD_PARAMETER = 0x201d,
    RC_NOT_SETTABLE = 0xa80a,
    RC_TOO_LARGE = 0xa809,
    RC_TIMEOUT = 0x02fa,
    RC_CANCEL = 0x02fb,
    RC_DATA_EXPECTED = 0x02fe,
    RC_IO = 0x02ff
};

#define STORAGES_MAX 4
#define FAULTS_MAX 2048
#define STRIKE_MAX 8
#define EVENTS_MAX 64
#define ROOT 0xffffffffu

/* One file a device, mapped by every process that uses it and by Python: it survives kill -9.
 * simulators/fake_libmtp/shared.py has the same offsets. */
struct shared {
    uint32_t magic, version;         /* 0, 4 */
    uint32_t plugged;                /* 8 */
    uint32_t plug;                   /* 12: counts plug-ins */
    uint32_t locked;                 /* 16: no storages */
    uint32_t held;                   /* 20: another program has the interface */
    uint32_t no_access;              /* 24: the usb node can't be opened */
    uint32_t profile_generation;     /* 28 */
    uint32_t faults_generation;      /* 32 */
    uint32_t next_handle;            /* 36 */
    uint32_t session;                /* 40: a session is open on the device: pid of the opener */
    uint32_t transactions;           /* 44 */
    uint64_t random;                 /* 48 */
    uint32_t events_written;         /* 56 */
    uint32_t events_read;            /* 60 */
    struct { uint32_t code, parameter; } events[EVENTS_MAX]; /* 64 */
    struct { uint64_t free; uint32_t present, pad; } storage[STORAGES_MAX]; /* 576 */
    uint32_t address; /* 640: counts what a device does to its address by itself */
    char filler[2048 - 644];
    char incoming[4096];             /* 2048: path of the file that is being received */
    char filler2[2048];
    uint32_t seen[FAULTS_MAX];       /* 8192: how often each fault's address matched */
};
_Static_assert(offsetof(struct shared, events) == 64, "shared.py");
_Static_assert(offsetof(struct shared, storage) == 576, "shared.py");
_Static_assert(offsetof(struct shared, incoming) == 2048, "shared.py");
_Static_assert(offsetof(struct shared, seen) == 8192, "shared.py");

enum overwrite { REFUSE, REPLACE, VANISH, RENAME_NEW, TWINS };
enum folder_delete { RECURSIVE, REFUSED, PARTIAL };

struct storage {
    uint32_t id;
    char *root, *description, *volume;
    uint64_t capacity, file_max;
    uint16_t type, filesystem, access;
    bool used, fat, trims, folds, discards;
    uint32_t first, last; /* children of the root */
};

struct profile {
    char *vendor, *product, *manufacturer, *model, *serial, *friendly, *version, *root_parent;
    uint32_t vendor_id, product_id, flags, bus, bitsize, handle_base;
    uint32_t index_listings, latency_us, reset_ms, undrained_ms, event_wait_ms, battery;
    bool listed, android, mtime_settable, move, copy, partial, edit, rename, zero_lists_all;
    bool strict_roots, moves_on_close, keeps_partial, fresh_size, full_cuts, index_empty, redirects;
    enum overwrite overwrite;
    enum folder_delete folder_delete;
    bool has_offset;
    int32_t utc_offset;
    uint64_t bytes_per_s;
    struct storage storage[STORAGES_MAX];
};

struct object {
    char *name; /* what the device calls it */
    char *disk; /* its name in the storage's directory */
    uint32_t parent; /* index; 0: the root of its storage */
    uint32_t first, last, next, previous, hash_next, generation;
    uint32_t hidden; /* listings until the indexer shows it */
    uint8_t storage;
    bool folder, gone;
    bool plate; /* a name without an object: SendObjectInfo without SendObject */
    /* What libmtp remembers of it in this session. */
    bool known;
    char *known_name;
    uint64_t known_size;
    time_t known_time;
    uint32_t known_parent;
};

enum kind {
    K_RESPONSE, K_IO_ERROR, K_STALL, K_TIMEOUT, K_HANG, K_NO_DEVICE, K_SESSION_LOST, K_SHORT,
    K_CORRUPT, K_EMPTY_LIST, K_MISSING, K_DUPLICATE, K_CYCLE, K_GHOST, K_SHOW_NAME, K_SHOW_PARENT,
    K_SHOW_SIZE, K_STORED_AS, K_STORE_CUT, K_LIE, K_CRASH, K_ABORT, K_SLOW, K_LATE_CANCEL, K_BUSY,
    K_NO_ACCESS, K_NO_STORAGES, K_STORAGE_GONE, K_UNKNOWN
};

struct fault {
    enum kind kind;
    char *on, *name, *path, *as_name, *as_path;
    uint32_t id, nth, times;
    bool after, has_after_bytes;
    uint64_t after_bytes, value;
    double seconds, chance;
    uint16_t code;
    bool for_good; /* seconds was not given */
};

struct strike {
    struct fault *list[STRIKE_MAX];
    int count;
};

#define OPS_MAX 24

struct call {
    const char *function;
    char *args;
    size_t args_length;
    struct { const char *name; uint32_t count; } ops[OPS_MAX];
    uint64_t bytes;
    bool has_bytes;
    struct timespec start;
    uint32_t number;
};

struct device {
    LIBMTP_mtpdevice_t *public;
    char *folder; /* its state directory */
    struct shared *shared;
    uint32_t plug; /* the plug-in that was opened */
    int claim;
    struct profile profile;
    uint32_t profile_generation, faults_generation;
    struct fault *faults;
    int fault_count;
    struct call *call;
    uint32_t calls;
    /* session */
    uint16_t broken;   /* what every operation answers until the session is opened again; 0: fine */
    uint16_t one_off;  /* what the next operation answers, once */
    bool lost, hung, hung_for_good;
    double hang_s;
    /* objects; index 0 is none. handle = profile.handle_base + index */
    struct object *objects;
    uint32_t object_count, object_space;
    uint32_t *buckets, bucket_count;
    uint32_t generation;
    int log;
    char *log_buffer;
    size_t log_length, log_space;
};

struct information {
    char *name; /* malloc'd; NULL: the device gave none */
    uint64_t size;
    time_t modified;
    uint32_t parent;
    bool folder;
};

/* state.c */
char *text_copy(const char *text);
char *text_decode(const char *text, size_t length);
char *text_encode(const char *text);
char *file_text(const char *path);
struct shared *shared_map(const char *folder);
void shared_unmap(struct shared *shared);
bool profile_load(const char *folder, struct profile *profile);
void profile_free(struct profile *profile);
void profile_refresh(struct device *device);
void pause_for(double seconds);
void call_begin(struct device *device, struct call *call, const char *function);
void call_text(struct call *call, const char *name, const char *value);
void call_number(struct call *call, const char *name, uint64_t value);
void call_end(struct device *device, struct call *call, const char *result);
int call_end_int(struct device *device, struct call *call, int result);
void ledger_note(struct device *device, const struct fault *fault, const char *op);
void event_push(struct device *device, uint32_t code, uint32_t parameter);

/* faults.c */
const char *fault_name(enum kind kind);
void faults_refresh(struct device *device);
void faults_free(struct device *device);
uint16_t op_begin(struct device *device, const char *op, bool data_in, uint32_t object,
                  const char *name, struct strike *strike);
uint16_t op_end(struct device *device, const char *op, bool data_in, struct strike *strike,
                uint16_t code);
struct fault *strike_with(struct strike *strike, enum kind kind);
struct fault *strike_at(struct strike *strike, uint64_t done, uint64_t *limit);
void strike_drop(struct strike *strike, struct fault *fault);
uint16_t fault_bites(struct device *device, struct fault *fault, const char *op);
void op_count(struct device *device, const char *op);
struct fault *fault_now(struct device *device, const char *op, enum kind kind);

/* objects.c */
bool objects_open(struct device *device);
void objects_flush(struct device *device);
void objects_close(struct device *device);
uint32_t object_find(struct device *device, uint32_t handle);
uint32_t object_handle(struct device *device, uint32_t index);
uint32_t object_walk(struct device *device, const char *path);
bool object_disk_path(struct device *device, uint32_t index, char *path);
bool object_path(struct device *device, uint32_t index, char *path);
struct storage *storage_by_id(struct device *device, uint32_t id, int *number);
bool storage_usable(struct device *device, int number);
uint16_t device_handles(struct device *device, uint32_t storage, uint32_t parent,
                        uint32_t **indices, uint32_t *count);
uint16_t device_information(struct device *device, uint32_t index, struct information *found);
uint16_t device_send_info(struct device *device, uint32_t storage, uint32_t parent,
                          const char *name, uint64_t size, bool folder, const char *stored_as,
                          uint32_t *index);
void device_received(struct device *device, uint32_t index, bool complete, uint64_t bytes);
uint16_t device_delete(struct device *device, uint32_t index);
uint16_t device_rename(struct device *device, uint32_t index, const char *name);
uint16_t device_move(struct device *device, uint32_t index, uint32_t storage, uint32_t parent);
uint16_t device_copy(struct device *device, uint32_t index, uint32_t storage, uint32_t parent);
uint16_t device_set_time(struct device *device, uint32_t index, const char *text);
char *device_time_text(struct device *device, time_t value);

#endif
