/* Which faults strike an operation, and what they do to it. */
#define _GNU_SOURCE
#include "fake.h"

#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const NAMES[] = {
    "response", "io_error", "stall", "timeout", "hang", "no_device", "session_lost", "short_download",
    "corrupt_byte", "empty_list", "missing", "duplicate", "cycle", "ghost", "show_name", "show_parent",
    "show_size", "stored_as", "store_cut", "lie", "crash", "abort", "slow", "late_cancel", "busy",
    "no_access", "no_storages", "storage_gone"};

const char *fault_name(enum kind kind) { return kind < K_UNKNOWN ? NAMES[kind] : "unknown"; }

static void fault_key(struct fault *f, const char *key, char *value) {
    if (!strcmp(key, "fault")) {
        f->kind = K_UNKNOWN;
        for (int i = 0; i < K_UNKNOWN; i++)
            if (!strcmp(value, NAMES[i])) f->kind = (enum kind)i;
        if (f->kind == K_UNKNOWN) fprintf(stderr, "fake libmtp: no such fault: %s\n", value);
    } else if (!strcmp(key, "on")) {
        f->on = text_copy(value);
    } else if (!strcmp(key, "name")) {
        f->name = text_copy(value);
    } else if (!strcmp(key, "path")) {
        f->path = text_copy(value);
    } else if (!strcmp(key, "as_name")) {
        f->as_name = text_copy(value);
    } else if (!strcmp(key, "as_path")) {
        f->as_path = text_copy(value);
    } else if (!strcmp(key, "nth")) {
        f->nth = (uint32_t)strtoul(value, NULL, 10);
    } else if (!strcmp(key, "times")) {
        f->times = (uint32_t)strtoul(value, NULL, 10);
    } else if (!strcmp(key, "when")) {
        f->after = !strcmp(value, "after");
    } else if (!strcmp(key, "after_bytes")) {
        f->has_after_bytes = true;
        f->after_bytes = strtoull(value, NULL, 10);
    } else if (!strcmp(key, "value")) {
        f->value = strtoull(value, NULL, 0);
    } else if (!strcmp(key, "seconds")) {
        f->seconds = strtod(value, NULL);
        f->for_good = false;
    } else if (!strcmp(key, "chance")) {
        f->chance = strtod(value, NULL);
    } else if (!strcmp(key, "code")) {
        f->code = (uint16_t)strtoul(value, NULL, 0);
    } else {
        fprintf(stderr, "fake libmtp: a fault has an unknown key: %s\n", key);
    }
}

void faults_free(struct device *device) {
    for (int i = 0; i < device->fault_count; i++) {
        struct fault *f = &device->faults[i];
        free(f->on);
        free(f->name);
        free(f->path);
        free(f->as_name);
        free(f->as_path);
    }
    free(device->faults);
    device->faults = NULL;
    device->fault_count = 0;
}

/* One fault a line, never removed ("-" in its place), so that its number keeps its counter. */
void faults_refresh(struct device *device) {
    uint32_t now = device->shared->faults_generation;
    if (now == device->faults_generation) return;
    device->faults_generation = now;
    faults_free(device);
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/faults", device->folder);
    char *text = file_text(path);
    if (!text) return;
    char *rest = text, *line;
    uint32_t id = 0;
    while ((line = strsep(&rest, "\n"))) {
        if (!*line) continue;
        uint32_t mine = id++;
        if (*line == '-' || mine >= FAULTS_MAX) continue;
        device->faults =
            realloc(device->faults, sizeof(struct fault) * (size_t)(device->fault_count + 1));
        struct fault *f = &device->faults[device->fault_count++];
        memset(f, 0, sizeof *f);
        f->id = mine;
        f->nth = 1;
        f->times = 1;
        f->chance = 1;
        f->for_good = true;
        char *word;
        while ((word = strsep(&line, " "))) {
            char *equals = strchr(word, '=');
            if (!equals) continue;
            *equals = 0;
            char *value = text_decode(equals + 1, strlen(equals + 1));
            fault_key(f, word, value);
            free(value);
        }
    }
    free(text);
}

/* -- which one strikes ------------------------------------------------------------------------- */

/* A fault on a function strikes at the operation of it that the fault can happen to. */
static const char *operation_of(const char *function, const struct fault *f) {
    if (!strncmp(function, "Send_File", 9)) {
        switch (f->kind) {
        case K_STORED_AS:
            return "SendObjectInfo";
        case K_RESPONSE:
        case K_STORAGE_GONE:
            return f->after || f->has_after_bytes ? "SendObject" : "SendObjectInfo";
        default:
            return "SendObject";
        }
    }
    if (!strncmp(function, "Get_File_To", 11)) return "GetObject";
    bool object = f->kind == K_MISSING || f->kind == K_SHOW_NAME || f->kind == K_SHOW_PARENT ||
                  f->kind == K_SHOW_SIZE;
    if (!strcmp(function, "Get_Files_And_Folders") || !strcmp(function, "Get_Children"))
        return object ? "GetObjectInfo" : "GetObjectHandles";
    if (!strcmp(function, "Get_Filemetadata")) return "GetObjectInfo";
    if (!strcmp(function, "Create_Folder")) return "SendObjectInfo";
    if (!strcmp(function, "Delete_Object")) return "DeleteObject";
    if (!strcmp(function, "Move_Object")) return "MoveObject";
    if (!strcmp(function, "Copy_Object")) return "CopyObject";
    if (!strncmp(function, "Set_", 4)) return "SetObjectPropValue";
    if (!strcmp(function, "Get_Storage"))
        return f->kind == K_NO_STORAGES ? "GetStorageIDs" : "GetStorageInfo";
    if (!strcmp(function, "GetPartialObject")) return "GetPartialObject";
    if (!strcmp(function, "Release_Device")) return "CloseSession";
    if (!strncmp(function, "Open_Raw_Device", 15))
        return f->kind == K_BUSY || f->kind == K_NO_ACCESS ? "Claim" : "OpenSession";
    return "";
}

static bool listed(const char *list, const char *word) {
    size_t length = strlen(word);
    while (list && *list) {
        size_t n = strcspn(list, "|");
        if (n == length && !strncmp(list, word, n)) return true;
        list += n + (list[n] == '|');
    }
    return false;
}

static bool fits(const char *glob, const char *text) {
    return !glob || (text && !fnmatch(glob, text, 0));
}

/* Python escapes [ and \, so that a glob has * and ? only, and nothing is special about '/'. */
static double dice(struct device *device) {
    uint64_t x = device->shared->random ? device->shared->random : 0x9e3779b97f4a7c15u;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    device->shared->random = x;
    return (double)(x >> 11) / 9007199254740992.0;
}

static bool strikes(struct device *device, struct fault *f, const char *op, uint32_t object,
                    const char *name) {
    if (f->kind == K_UNKNOWN) return false;
    const char *function = device->call ? device->call->function : "";
    bool by_function = listed(f->on, function) && !strcmp(operation_of(function, f), op);
    if (!by_function && !listed(f->on, op) && !listed(f->on, "*")) return false;
    char path[PATH_MAX] = "";
    if (f->path && !object_path(device, object, path)) return false;
    if (f->path && name && !strcmp(op, "SendObjectInfo")) { /* *object* is the folder */
        size_t length = strlen(path);
        snprintf(path + length, sizeof path - length, "%s%s", length > 1 ? "/" : "", name);
    }
    if (!fits(f->name, name) || !fits(f->path, path)) return false;
    uint32_t seen = ++device->shared->seen[f->id];
    if (f->nth && (seen < f->nth || seen - f->nth >= f->times)) return false;
    return f->chance >= 1 || dice(device) < f->chance;
}

struct fault *strike_with(struct strike *strike, enum kind kind) {
    for (int i = 0; i < strike->count; i++)
        if (strike->list[i]->kind == kind) return strike->list[i];
    return NULL;
}

void strike_drop(struct strike *strike, struct fault *fault) {
    int kept = 0;
    for (int i = 0; i < strike->count; i++)
        if (strike->list[i] != fault) strike->list[kept++] = strike->list[i];
    strike->count = kept;
}

/* The first fault that lies at or before *done* octets; *limit* is where the next one lies. */
struct fault *strike_at(struct strike *strike, uint64_t done, uint64_t *limit) {
    struct fault *found = NULL;
    *limit = UINT64_MAX;
    for (int i = 0; i < strike->count; i++) {
        struct fault *f = strike->list[i];
        if (!f->has_after_bytes || f->after || f->kind == K_CORRUPT || f->kind == K_STORE_CUT)
            continue;
        if (f->after_bytes <= done) {
            if (!found) found = f;
        } else if (f->after_bytes < *limit) {
            *limit = f->after_bytes;
        }
    }
    return found;
}

/* -- what it does ------------------------------------------------------------------------------ */

/* What libmtp makes of it; K_SLOW answers RC_OK. Sets what later operations will answer. */
uint16_t fault_bites(struct device *device, struct fault *f, const char *op) {
    bool download = !strcmp(op, "GetObject") || !strcmp(op, "GetPartialObject");
    bool opening = !strcmp(op, "OpenSession");
    ledger_note(device, f, op);
    switch (f->kind) {
    case K_SLOW:
        pause_for(f->seconds);
        return RC_OK;
    case K_RESPONSE:
        return f->code;
    case K_SESSION_LOST:
        device->lost = true;
        return RC_NO_SESSION;
    case K_STORAGE_GONE:
        for (int i = 0; i < STORAGES_MAX; i++)
            if (device->profile.storage[i].used && device->profile.storage[i].id == f->value)
                device->shared->storage[i].present = 0;
        return RC_NO_STORE;
    case K_CRASH:
        objects_flush(device);
        raise(SIGSEGV);
        return RC_IO;
    case K_ABORT:
        objects_flush(device);
        abort();
    case K_NO_DEVICE:
        device->shared->plugged = 0;
        device->shared->session = 0;
        return RC_IO;
    case K_HANG:
        objects_flush(device);
        device->hung = true;
        device->hang_s = f->seconds;
        device->hung_for_good = f->for_good;
        do
            pause_for(f->for_good ? 3600 : f->seconds);
        while (f->for_good);
        break;
    case K_TIMEOUT:
        if (!f->for_good) pause_for(f->seconds);
        break;
    case K_IO_ERROR:
    case K_STALL:
        break;
    default:
        return RC_OK; /* the operation itself looks for these */
    }
    if (!opening) device->broken = download ? RC_DATA_EXPECTED : RC_IO;
    return f->kind == K_TIMEOUT && download ? RC_TIMEOUT : RC_IO;
}

void op_count(struct device *device, const char *op) {
    device->shared->transactions++;
    struct call *call = device->call;
    for (int i = 0; call && i < OPS_MAX; i++) {
        if (call->ops[i].name && strcmp(call->ops[i].name, op)) continue;
        call->ops[i].name = op;
        call->ops[i].count++;
        break;
    }
    if (device->profile.latency_us) pause_for(device->profile.latency_us / 1e6);
}

static uint16_t as_read(bool data_in, uint16_t code) {
    /* libptp2 expects data, sees a response and forgets which. */
    return data_in && code >= 0x2000 && code != RC_OK ? RC_DATA_EXPECTED : code;
}

/* RC_OK: go on. The faults that concern the deed itself are left in *strike*. */
uint16_t op_begin(struct device *device, const char *op, bool data_in, uint32_t object,
                  const char *name, struct strike *strike) {
    strike->count = 0;
    op_count(device, op);
    if (!device->shared->plugged || device->shared->plug != device->plug) return RC_IO;
    if (device->one_off) {
        uint16_t code = device->one_off;
        device->one_off = 0;
        return code;
    }
    if (device->broken && strcmp(op, "OpenSession")) return device->broken;
    if (!name && object) name = device->objects[object].name;
    for (int i = 0; i < device->fault_count && strike->count < STRIKE_MAX; i++)
        if (strikes(device, &device->faults[i], op, object, name))
            strike->list[strike->count++] = &device->faults[i];
    uint16_t code = RC_OK;
    for (int i = 0; i < strike->count && code == RC_OK; i++) {
        struct fault *f = strike->list[i];
        if (!f->after && !f->has_after_bytes) code = fault_bites(device, f, op);
    }
    if (code == RC_OK && device->lost && strcmp(op, "OpenSession")) code = RC_NO_SESSION;
    return as_read(data_in, code);
}

/* After the deed, which answered *code*: what arrives at the host. */
uint16_t op_end(struct device *device, const char *op, bool data_in, struct strike *strike,
                uint16_t code) {
    for (int i = 0; i < strike->count; i++)
        if (strike->list[i]->after) {
            uint16_t bitten = fault_bites(device, strike->list[i], op);
            if (bitten != RC_OK) return as_read(data_in, bitten);
        }
    return as_read(data_in, code);
}

/* For what isn't a transaction (the claim): the fault of that kind, if it strikes now. */
struct fault *fault_now(struct device *device, const char *op, enum kind kind) {
    for (int i = 0; i < device->fault_count; i++)
        if (device->faults[i].kind == kind && strikes(device, &device->faults[i], op, 0, NULL)) {
            ledger_note(device, &device->faults[i], op);
            return &device->faults[i];
        }
    return NULL;
}
