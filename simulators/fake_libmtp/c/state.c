/* Files of the state directory: the shared page, the profile, the ledger. */
#define _GNU_SOURCE
#include "fake.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* -- text -------------------------------------------------------------------------------------- */

char *text_copy(const char *text) { return text ? strdup(text) : NULL; }

static int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

char *text_decode(const char *text, size_t length) {
    char *out = malloc(length + 1), *to = out;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '%' && i + 2 < length && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
            *to++ = (char)(hex(text[i + 1]) * 16 + hex(text[i + 2]));
            i += 2;
        } else {
            *to++ = text[i];
        }
    }
    *to = 0;
    return out;
}

char *text_encode(const char *text) {
    char *out = malloc(strlen(text) * 3 + 1), *to = out;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c <= ' ' || *c == '%' || *c >= 0x7f)
            to += sprintf(to, "%%%02X", *c);
        else
            *to++ = (char)*c;
    }
    *to = 0;
    return out;
}

char *file_text(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NULL;
    struct stat st;
    if (fstat(fd, &st)) {
        close(fd);
        return NULL;
    }
    char *text = malloc((size_t)st.st_size + 1);
    size_t have = 0;
    while (have < (size_t)st.st_size) {
        ssize_t n = read(fd, text + have, (size_t)st.st_size - have);
        if (n <= 0) break;
        have += (size_t)n;
    }
    text[have] = 0;
    close(fd);
    return text;
}

/* -- the shared page --------------------------------------------------------------------------- */

struct shared *shared_map(const char *folder) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/shared", folder);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return NULL;
    struct stat st;
    struct shared *shared = NULL;
    if (!fstat(fd, &st) && st.st_size >= (off_t)sizeof *shared) {
        shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (shared == MAP_FAILED) shared = NULL;
    }
    close(fd);
    if (shared && (shared->magic != 0x50544d46 || shared->version != 1)) {
        fprintf(stderr, "fake libmtp: %s was made by another version\n", path);
        munmap(shared, sizeof *shared);
        shared = NULL;
    }
    return shared;
}

void shared_unmap(struct shared *shared) {
    if (shared) munmap(shared, sizeof *shared);
}

/* -- the profile ------------------------------------------------------------------------------- */

static uint64_t number(const char *value) { return strtoull(value, NULL, 0); }

static bool take_text(const char *key, const char *name, char **field, const char *value) {
    if (strcmp(key, name)) return false;
    free(*field);
    *field = text_decode(value, strlen(value));
    return true;
}

static bool take_number(const char *key, const char *name, uint32_t *field, const char *value) {
    if (strcmp(key, name)) return false;
    *field = (uint32_t)number(value);
    return true;
}

static bool take_flag(const char *key, const char *name, bool *field, const char *value) {
    if (strcmp(key, name)) return false;
    *field = number(value) != 0;
    return true;
}

static int choice(const char *value, const char *const *names) {
    for (int i = 0; names[i]; i++)
        if (!strcmp(value, names[i])) return i;
    fprintf(stderr, "fake libmtp: no such choice in the profile: %s\n", value);
    return 0;
}

static bool storage_key(struct storage *s, const char *key, const char *value) {
    s->used = true;
    uint32_t n = (uint32_t)number(value);
    if (!strcmp(key, "type")) return s->type = (uint16_t)n, true;
    if (!strcmp(key, "filesystem")) return s->filesystem = (uint16_t)n, true;
    if (!strcmp(key, "access")) return s->access = (uint16_t)n, true;
    if (!strcmp(key, "capacity")) return s->capacity = number(value), true;
    if (!strcmp(key, "file_max")) return s->file_max = number(value), true;
    return take_number(key, "id", &s->id, value) || take_text(key, "root", &s->root, value) ||
           take_text(key, "description", &s->description, value) ||
           take_text(key, "volume", &s->volume, value) || take_flag(key, "fat", &s->fat, value) ||
           take_flag(key, "trims", &s->trims, value) ||
           take_flag(key, "folds", &s->folds, value) ||
           take_flag(key, "discards", &s->discards, value);
}

static bool profile_key(struct profile *p, const char *key, const char *value) {
    static const char *const overwrites[] = {"refuse", "replace", "vanish", "rename", "twins", 0};
    static const char *const deletes[] = {"recursive", "refused", "partial", 0};
    if (!strncmp(key, "storage.", 8) && key[8] >= '0' && key[8] < '0' + STORAGES_MAX)
        return storage_key(&p->storage[key[8] - '0'], key + 10, value);
    if (!strcmp(key, "overwrite"))
        return p->overwrite = (enum overwrite)choice(value, overwrites), true;
    if (!strcmp(key, "folder_delete"))
        return p->folder_delete = (enum folder_delete)choice(value, deletes), true;
    if (!strcmp(key, "bytes_per_s")) return p->bytes_per_s = number(value), true;
    if (!strcmp(key, "utc_offset"))
        return p->has_offset = true, p->utc_offset = (int32_t)strtol(value, NULL, 10), true;
    struct { const char *name; char **field; } texts[] = {
        {"vendor", &p->vendor}, {"product", &p->product}, {"manufacturer", &p->manufacturer},
        {"model", &p->model}, {"serial", &p->serial}, {"friendly", &p->friendly},
        {"version", &p->version}, {"root_parent", &p->root_parent}};
    struct { const char *name; uint32_t *field; } numbers[] = {
        {"vendor_id", &p->vendor_id}, {"product_id", &p->product_id}, {"flags", &p->flags},
        {"bus", &p->bus}, {"bitsize", &p->bitsize}, {"handle_base", &p->handle_base},
        {"index_listings", &p->index_listings}, {"latency_us", &p->latency_us},
        {"reset_ms", &p->reset_ms}, {"undrained_ms", &p->undrained_ms},
        {"event_wait_ms", &p->event_wait_ms}, {"battery", &p->battery}};
    struct { const char *name; bool *field; } flags[] = {
        {"listed", &p->listed}, {"android", &p->android}, {"mtime_settable", &p->mtime_settable},
        {"move", &p->move}, {"copy", &p->copy}, {"partial", &p->partial}, {"edit", &p->edit},
        {"rename", &p->rename}, {"zero_lists_all", &p->zero_lists_all},
        {"strict_roots", &p->strict_roots}, {"moves_on_close", &p->moves_on_close},
        {"keeps_partial", &p->keeps_partial},
        {"fresh_size", &p->fresh_size}, {"full_cuts", &p->full_cuts},
        {"index_empty", &p->index_empty}, {"redirects", &p->redirects}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (take_text(key, texts[i].name, texts[i].field, value)) return true;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (take_number(key, numbers[i].name, numbers[i].field, value)) return true;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (take_flag(key, flags[i].name, flags[i].field, value)) return true;
    return false;
}

bool profile_load(const char *folder, struct profile *profile) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/profile", folder);
    char *text = file_text(path);
    if (!text) return false;
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n"))) {
        char *value = strchr(line, '=');
        if (!value) continue;
        *value++ = 0;
        if (!profile_key(profile, line, value))
            fprintf(stderr, "fake libmtp: the profile has an unknown key: %s\n", line);
    }
    free(text);
    return true;
}

void profile_free(struct profile *p) {
    char *texts[] = {p->vendor, p->product, p->manufacturer, p->model, p->serial, p->friendly,
                     p->version, p->root_parent};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free(texts[i]);
    for (int i = 0; i < STORAGES_MAX; i++) {
        free(p->storage[i].root);
        free(p->storage[i].description);
        free(p->storage[i].volume);
    }
    memset(p, 0, sizeof *p);
}

/* Rules may change while the device is in use; storages and handles stay as they were. */
void profile_refresh(struct device *device) {
    uint32_t now = device->shared->profile_generation;
    if (now == device->profile_generation) return;
    struct { uint32_t first, last; } kept[STORAGES_MAX];
    for (int i = 0; i < STORAGES_MAX; i++) {
        kept[i].first = device->profile.storage[i].first;
        kept[i].last = device->profile.storage[i].last;
    }
    uint32_t base = device->profile.handle_base;
    profile_free(&device->profile);
    profile_load(device->folder, &device->profile);
    device->profile.handle_base = base;
    for (int i = 0; i < STORAGES_MAX; i++) {
        device->profile.storage[i].first = kept[i].first;
        device->profile.storage[i].last = kept[i].last;
    }
    device->profile_generation = now;
}

/* -- time -------------------------------------------------------------------------------------- */

/* As libusb waits: a signal doesn't end it. */
void pause_for(double seconds) {
    struct timespec left = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&left, &left) && errno == EINTR) {
    }
}

/* -- the ledger -------------------------------------------------------------------------------- */

static void json_text(FILE *out, const char *text) {
    if (!text) {
        fputs("null", out);
        return;
    }
    fputc('"', out);
    const unsigned char *c = (const unsigned char *)text;
    while (*c) {
        int length = *c < 0x80 ? 1 : *c >= 0xc2 && *c < 0xe0 ? 2 : (*c & 0xf0) == 0xe0 ? 3
                     : *c >= 0xf0 && *c < 0xf5 ? 4 : 0;
        bool good = length > 0;
        for (int i = 1; i < length; i++)
            if ((c[i] & 0xc0) != 0x80) {
                good = false;
                break;
            }
        if (good && length == 3)
            good = !(c[0] == 0xe0 && c[1] < 0xa0) && !(c[0] == 0xed && c[1] >= 0xa0);
        if (good && length == 4) good = !(c[0] == 0xf0 && c[1] < 0x90) && !(c[0] == 0xf4 && c[1] > 0x8f);
        if (!good) {
            fprintf(out, "\\udc%02x", *c++); /* as Python's surrogateescape */
        } else if (length > 1) {
            fwrite(c, 1, (size_t)length, out);
            c += length;
        } else {
            if (*c == '"' || *c == '\\')
                fprintf(out, "\\%c", *c);
            else if (*c < ' ' || *c == 0x7f)
                fprintf(out, "\\u%04x", *c);
            else
                fputc(*c, out);
            c++;
        }
    }
    fputc('"', out);
}

static void ledger_write(const char *line, size_t length) {
    const char *state = getenv("FAKE_LIBMTP_STATE");
    if (!state) return;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/ledger.jsonl", state);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return;
    ssize_t n = write(fd, line, length); /* one write: lines of several processes don't mix */
    (void)n;
    close(fd);
}

static const char *device_name(struct device *device) {
    if (!device) return NULL;
    const char *slash = strrchr(device->folder, '/');
    return slash ? slash + 1 : device->folder;
}

void call_begin(struct device *device, struct call *call, const char *function) {
    memset(call, 0, sizeof *call);
    call->function = function;
    clock_gettime(CLOCK_MONOTONIC, &call->start);
    if (device) {
        call->number = ++device->calls;
        device->call = call;
        profile_refresh(device);
        faults_refresh(device);
    }
}

static void call_argument(struct call *call, const char *name, const char *text, bool quote) {
    char *piece = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&piece, &length);
    fprintf(out, "%s\"%s\":", call->args_length ? "," : "", name);
    if (quote)
        json_text(out, text);
    else
        fputs(text, out);
    fclose(out);
    call->args = realloc(call->args, call->args_length + length + 1);
    memcpy(call->args + call->args_length, piece, length + 1);
    call->args_length += length;
    free(piece);
}

void call_text(struct call *call, const char *name, const char *value) {
    call_argument(call, name, value, true);
}

void call_number(struct call *call, const char *name, uint64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    call_argument(call, name, text, false);
}

void call_end(struct device *device, struct call *call, const char *result) {
    char *line = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&line, &length);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double seconds = (double)(now.tv_sec - call->start.tv_sec) +
                     (double)(now.tv_nsec - call->start.tv_nsec) / 1e9;
    fprintf(out, "{\"pid\":%d,\"device\":", (int)getpid());
    json_text(out, device_name(device));
    fprintf(out, ",\"call\":\"%s\",\"args\":{%s},\"result\":%s,\"seconds\":%.6f", call->function,
            call->args ? call->args : "", result, seconds);
    if (call->has_bytes) fprintf(out, ",\"bytes\":%llu", (unsigned long long)call->bytes);
    fputs(",\"ops\":{", out);
    for (int i = 0; i < OPS_MAX && call->ops[i].name; i++)
        fprintf(out, "%s\"%s\":%u", i ? "," : "", call->ops[i].name, call->ops[i].count);
    fputs("}}\n", out);
    fclose(out);
    if (device) objects_flush(device); /* before anybody can know the handles */
    ledger_write(line, length);
    free(line);
    free(call->args);
    if (device) device->call = NULL;
}

int call_end_int(struct device *device, struct call *call, int result) {
    char text[16];
    snprintf(text, sizeof text, "%d", result);
    call_end(device, call, text);
    return result;
}

void ledger_note(struct device *device, const struct fault *fault, const char *op) {
    char *line = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&line, &length);
    fprintf(out, "{\"pid\":%d,\"device\":", (int)getpid());
    json_text(out, device_name(device));
    fprintf(out, ",\"fault\":\"%s\",\"number\":%u,\"op\":\"%s\",\"call\":", fault_name(fault->kind),
            fault->id, op);
    json_text(out, device->call ? device->call->function : NULL);
    fputs("}\n", out);
    fclose(out);
    ledger_write(line, length);
    free(line);
}

void event_push(struct device *device, uint32_t code, uint32_t parameter) {
    struct shared *s = device->shared;
    if (s->events_written - s->events_read >= EVENTS_MAX) return;
    s->events[s->events_written % EVENTS_MAX].code = code;
    s->events[s->events_written % EVENTS_MAX].parameter = parameter;
    s->events_written++;
}
