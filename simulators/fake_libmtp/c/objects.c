/* The device: its table of objects over directories, and what it does when asked.
 *
 * The truth are the directories. The table gives what is found there numbers, in the order of
 * visiting, and remembers them in a log, so that they stay the same as long as the device is
 * plugged in, in whatever process. Linear in the number of objects. */
#define _GNU_SOURCE
#include "fake.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* -- the table --------------------------------------------------------------------------------- */

uint32_t object_handle(struct device *device, uint32_t index) {
    return index ? device->profile.handle_base + index : 0;
}

uint32_t object_find(struct device *device, uint32_t handle) {
    uint32_t index = handle - device->profile.handle_base;
    if (!index || index >= device->object_count) return 0;
    struct object *o = &device->objects[index];
    return o->gone || o->plate ? 0 : index;
}

static uint32_t hash(uint32_t storage, uint32_t parent, const char *disk) {
    uint32_t h = 2166136261u ^ (storage * 31 + parent) * 16777619u;
    for (; *disk; disk++) h = (h ^ (unsigned char)*disk) * 16777619u;
    return h ^ h >> 15;
}

static uint32_t *bucket(struct device *d, const struct object *o) {
    return &d->buckets[hash(o->storage, o->parent, o->disk) & (d->bucket_count - 1)];
}

static void hash_add(struct device *d, uint32_t index) {
    uint32_t *at = bucket(d, &d->objects[index]);
    d->objects[index].hash_next = *at;
    *at = index;
}

static void hash_remove(struct device *d, uint32_t index) {
    for (uint32_t *at = bucket(d, &d->objects[index]); *at; at = &d->objects[*at].hash_next)
        if (*at == index) {
            *at = d->objects[index].hash_next;
            return;
        }
}

static void grow(struct device *d) {
    if (d->object_count == d->object_space) {
        d->object_space = d->object_space ? d->object_space * 2 : 256;
        d->objects = realloc(d->objects, sizeof(struct object) * d->object_space);
    }
    if (d->object_count >= d->bucket_count) {
        d->bucket_count = d->bucket_count ? d->bucket_count * 4 : 1024;
        free(d->buckets);
        d->buckets = calloc(d->bucket_count, sizeof *d->buckets);
        for (uint32_t i = 1; i < d->object_count; i++)
            if (!d->objects[i].gone) hash_add(d, i);
    }
}

static uint32_t *first_child(struct device *d, int storage, uint32_t parent) {
    return parent ? &d->objects[parent].first : &d->profile.storage[storage].first;
}

static uint32_t *last_child(struct device *d, int storage, uint32_t parent) {
    return parent ? &d->objects[parent].last : &d->profile.storage[storage].last;
}

static void link_in(struct device *d, uint32_t index) {
    struct object *o = &d->objects[index];
    uint32_t *last = last_child(d, o->storage, o->parent);
    o->previous = *last;
    o->next = 0;
    if (*last)
        d->objects[*last].next = index;
    else
        *first_child(d, o->storage, o->parent) = index;
    *last = index;
}

static void link_out(struct device *d, uint32_t index) {
    struct object *o = &d->objects[index];
    if (o->previous)
        d->objects[o->previous].next = o->next;
    else
        *first_child(d, o->storage, o->parent) = o->next;
    if (o->next)
        d->objects[o->next].previous = o->previous;
    else
        *last_child(d, o->storage, o->parent) = o->previous;
}

/* -- its log ----------------------------------------------------------------------------------- */

static void log_line(struct device *d, const char *text, size_t length) {
    if (d->log < 0) return; /* being read */
    if (d->log_length + length > d->log_space) {
        d->log_space = (d->log_length + length) * 2 + 4096;
        d->log_buffer = realloc(d->log_buffer, d->log_space);
    }
    memcpy(d->log_buffer + d->log_length, text, length);
    d->log_length += length;
}

static void log_object(struct device *d, char what, uint32_t index) {
    if (d->log < 0) return;
    struct object *o = &d->objects[index];
    char *disk = text_encode(o->disk), *name = text_encode(o->name), *line = NULL;
    int n = asprintf(&line, "%c %u %u %u %d %d %u %s %s\n", what, index, o->parent, o->storage,
                     o->folder, o->plate, o->hidden, disk, name);
    log_line(d, line, (size_t)n);
    free(disk);
    free(name);
    free(line);
}

void objects_flush(struct device *d) {
    size_t done = 0;
    while (d->log >= 0 && done < d->log_length) {
        ssize_t n = write(d->log, d->log_buffer + done, d->log_length - done);
        if (n <= 0) break;
        done += (size_t)n;
    }
    d->log_length = 0;
    d->shared->next_handle = d->profile.handle_base + d->object_count;
}

static uint32_t object_add(struct device *d, int storage, uint32_t parent, const char *name,
                           const char *disk, bool folder) {
    if (!d->object_count) {
        grow(d);
        memset(&d->objects[0], 0, sizeof(struct object));
        d->object_count = 1;
    }
    grow(d);
    uint32_t index = d->object_count++;
    struct object *o = &d->objects[index];
    memset(o, 0, sizeof *o);
    o->name = text_copy(name);
    o->disk = text_copy(disk);
    o->parent = parent;
    o->storage = (uint8_t)storage;
    o->folder = folder;
    link_in(d, index);
    hash_add(d, index);
    return index;
}

static void forget(struct device *d, uint32_t index) {
    struct object *o = &d->objects[index];
    free(o->known_name);
    o->known_name = NULL;
    o->known = false;
}

static void object_remove(struct device *d, uint32_t index) {
    /* A queue instead of recursion: trees may be deep. */
    link_out(d, index);
    uint32_t space = 64, count = 1, *queue = malloc(space * sizeof *queue);
    queue[0] = index;
    while (count) {
        uint32_t i = queue[--count];
        struct object *o = &d->objects[i];
        hash_remove(d, i);
        o->gone = true;
        char line[32];
        log_line(d, line, (size_t)snprintf(line, sizeof line, "- %u\n", i));
        for (uint32_t child = o->first; child; child = d->objects[child].next) {
            if (count == space) queue = realloc(queue, (space *= 2) * sizeof *queue);
            queue[count++] = child;
        }
    }
    free(queue);
}

static void log_read(struct device *d, char *text) {
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n"))) {
        char what, disk[4096], name[4096];
        unsigned index, parent, storage, hidden;
        int folder, plate;
        if (sscanf(line, "- %u", &index) == 1) {
            if (index < d->object_count && !d->objects[index].gone) {
                link_out(d, index); /* its descendants have lines of their own */
                hash_remove(d, index);
                d->objects[index].gone = true;
                d->objects[index].next = d->objects[index].previous = 0;
            }
            continue;
        }
        int n = sscanf(line, "%c %u %u %u %d %d %u %4095s %4095s", &what, &index, &parent, &storage,
                       &folder, &plate, &hidden, disk, name);
        if (n != 9 || storage >= STORAGES_MAX) continue;
        char *real_disk = text_decode(disk, strlen(disk)), *real = text_decode(name, strlen(name));
        if (what == '+') {
            index = object_add(d, (int)storage, parent, real, real_disk, folder);
        } else if (index < d->object_count) { /* renamed, moved, received */
            struct object *o = &d->objects[index];
            link_out(d, index);
            hash_remove(d, index);
            free(o->name);
            free(o->disk);
            o->name = text_copy(real);
            o->disk = text_copy(real_disk);
            o->parent = parent;
            o->storage = (uint8_t)storage;
            link_in(d, index);
            hash_add(d, index);
        }
        d->objects[index].plate = plate;
        d->objects[index].hidden = hidden;
        free(real_disk);
        free(real);
    }
}

bool objects_open(struct device *d) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/objects-%u", d->folder, d->plug);
    d->log = -1;
    char *text = file_text(path);
    size_t good = 0;
    if (text) {
        char *end = strrchr(text, '\n'); /* a killed process may have left half a line */
        good = end ? (size_t)(end - text) + 1 : 0;
        text[good] = 0;
        log_read(d, text);
        free(text);
    }
    if (!d->object_count) {
        grow(d);
        memset(&d->objects[0], 0, sizeof(struct object));
        d->object_count = 1;
    }
    d->log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (d->log < 0) return false;
    if (ftruncate(d->log, (off_t)good)) return false;
    return true;
}

void objects_close(struct device *d) {
    objects_flush(d);
    if (d->log >= 0) close(d->log);
    for (uint32_t i = 0; i < d->object_count; i++) {
        free(d->objects[i].name);
        free(d->objects[i].disk);
        free(d->objects[i].known_name);
    }
    free(d->objects);
    free(d->buckets);
    free(d->log_buffer);
}

/* -- paths ------------------------------------------------------------------------------------- */

static bool path_of(struct device *d, uint32_t index, char *path, bool disk) {
    uint32_t chain[512];
    int depth = 0;
    uint32_t at = index;
    while (at && depth < 512) {
        chain[depth++] = at;
        at = d->objects[at].parent;
    }
    if (at || !index) return false;
    const char *root = disk ? d->profile.storage[d->objects[index].storage].root : "";
    size_t length = strlen(root);
    if (length >= PATH_MAX) return false;
    memcpy(path, root, length);
    while (depth--) {
        struct object *o = &d->objects[chain[depth]];
        const char *part = disk ? o->disk : o->name;
        size_t n = strlen(part);
        if (length + n + 2 > PATH_MAX) return false;
        path[length++] = '/';
        memcpy(path + length, part, n);
        length += n;
    }
    path[length] = 0;
    return true;
}

bool object_disk_path(struct device *d, uint32_t index, char *path) {
    return path_of(d, index, path, true);
}

bool object_path(struct device *d, uint32_t index, char *path) {
    if (!index) return strcpy(path, "/"), true;
    return path_of(d, index, path, false);
}

static bool folder_path(struct device *d, int storage, uint32_t parent, char *path) {
    if (parent) return object_disk_path(d, parent, path);
    size_t n = strlen(d->profile.storage[storage].root);
    if (n >= PATH_MAX) return false;
    memcpy(path, d->profile.storage[storage].root, n + 1);
    return true;
}

static bool child_path(struct device *d, int storage, uint32_t parent, const char *disk,
                       char *path) {
    if (!folder_path(d, storage, parent, path)) return false;
    size_t length = strlen(path), n = strlen(disk);
    if (length + n + 2 > PATH_MAX) return false;
    path[length] = '/';
    memcpy(path + length + 1, disk, n + 1);
    return true;
}

struct storage *storage_by_id(struct device *d, uint32_t id, int *number) {
    for (int i = 0; i < STORAGES_MAX; i++)
        if (d->profile.storage[i].used && d->profile.storage[i].id == id) {
            if (number) *number = i;
            return &d->profile.storage[i];
        }
    return NULL;
}

bool storage_usable(struct device *d, int number) {
    return d->profile.storage[number].used && !d->shared->locked &&
           d->shared->storage[number].present;
}

/* -- looking at the disk ----------------------------------------------------------------------- */

struct entry {
    char *name;
    bool folder;
};

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

/* Brings the table of one folder up to date; false: it isn't there any more. */
static bool look(struct device *d, int storage, uint32_t parent) {
    char path[PATH_MAX];
    if (!folder_path(d, storage, parent, path)) return false;
    DIR *folder = opendir(path);
    if (!folder) return false;
    struct entry *entries = NULL;
    size_t count = 0, space = 0;
    struct dirent *found;
    while ((found = readdir(folder))) {
        if (!strcmp(found->d_name, ".") || !strcmp(found->d_name, "..")) continue;
        bool is_folder = found->d_type == DT_DIR;
        if (found->d_type != DT_DIR && found->d_type != DT_REG) {
            struct stat st;
            if (fstatat(dirfd(folder), found->d_name, &st, 0)) continue;
            if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) continue;
            is_folder = S_ISDIR(st.st_mode);
        }
        if (count == space) entries = realloc(entries, (space = space * 2 + 64) * sizeof *entries);
        entries[count++] = (struct entry){strdup(found->d_name), is_folder};
    }
    closedir(folder);
    if (count) qsort(entries, count, sizeof *entries, by_name);
    uint32_t generation = ++d->generation;
    for (size_t i = 0; i < count; i++) {
        uint32_t at = d->buckets[hash((uint32_t)storage, parent, entries[i].name) &
                                 (d->bucket_count - 1)];
        bool known = false;
        for (; at; at = d->objects[at].hash_next) {
            struct object *o = &d->objects[at];
            if (o->parent != parent || o->storage != storage || strcmp(o->disk, entries[i].name) ||
                (o->folder != entries[i].folder && !o->plate))
                continue;
            o->generation = generation; /* two names may share a file on a folding card */
            known = true;
        }
        if (!known) {
            uint32_t index = object_add(d, storage, parent, entries[i].name, entries[i].name,
                                        entries[i].folder);
            d->objects[index].generation = generation;
            log_object(d, '+', index);
        }
        free(entries[i].name);
    }
    free(entries);
    uint32_t next;
    for (uint32_t at = *first_child(d, storage, parent); at; at = next) {
        next = d->objects[at].next;
        if (d->objects[at].generation != generation && !d->objects[at].plate) object_remove(d, at);
    }
    return true;
}

uint32_t object_walk(struct device *d, const char *path) {
    for (int storage = 0; storage < STORAGES_MAX; storage++) {
        if (!d->profile.storage[storage].used) continue;
        uint32_t at = 0;
        const char *part = path;
        bool good = true;
        while (*part == '/') part++;
        while (*part && good) {
            size_t n = strcspn(part, "/");
            look(d, storage, at);
            uint32_t child = *first_child(d, storage, at);
            while (child && !(strlen(d->objects[child].name) == n &&
                              !memcmp(d->objects[child].name, part, n)))
                child = d->objects[child].next;
            good = child != 0;
            at = child;
            part += n;
            while (*part == '/') part++;
        }
        if (good && at) return at;
    }
    return 0;
}

/* -- names ------------------------------------------------------------------------------------- */

static bool same_folded(const char *a, const char *b) {
    return !strcasecmp(a, b); /* ASCII is enough to collide */
}

static uint32_t child_named(struct device *d, int storage, uint32_t parent, const char *name) {
    for (uint32_t at = d->buckets[hash((uint32_t)storage, parent, name) & (d->bucket_count - 1)];
         at; at = d->objects[at].hash_next) {
        struct object *o = &d->objects[at];
        if (o->parent == parent && o->storage == storage && !strcmp(o->name, name)) return at;
    }
    /* An object whose name on the disk is another one (a collision, a trimmed name). */
    if (d->profile.storage[storage].folds || d->profile.overwrite == TWINS)
        for (uint32_t at = *first_child(d, storage, parent); at; at = d->objects[at].next)
            if (!strcmp(d->objects[at].name, name)) return at;
    return 0;
}

/* RC_OK, or why the device refuses the name. *disk* is where it will be, *name* may be trimmed. */
static uint16_t name_check(struct device *d, int storage, char *name) {
    struct storage *s = &d->profile.storage[storage];
    if (s->trims) {
        size_t n = strlen(name);
        while (n && (name[n - 1] == ' ' || name[n - 1] == '.')) name[--n] = 0;
    }
    if (!*name || !strcmp(name, ".") || !strcmp(name, "..") || strchr(name, '/'))
        return RC_BAD_PARAMETER;
    size_t n = strlen(name);
    if (s->fat) {
        if (strpbrk(name, "\"*:<>?\\|") || name[n - 1] == ' ' || name[n - 1] == '.')
            return RC_BAD_PARAMETER;
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)name[i] < ' ') return RC_BAD_PARAMETER;
    }
    return RC_OK;
}

static void disk_name(struct device *d, int storage, uint32_t parent, const char *name,
                      char **disk) {
    *disk = text_copy(name);
    if (!d->profile.storage[storage].folds) return;
    look(d, storage, parent);
    for (uint32_t at = *first_child(d, storage, parent); at; at = d->objects[at].next)
        if (same_folded(d->objects[at].disk, name)) {
            free(*disk);
            *disk = text_copy(d->objects[at].disk);
            return;
        }
}

/* A live name in the table, or on the disk where the table doesn't know of it yet. */
static uint32_t taken(struct device *d, int storage, uint32_t parent, const char *name) {
    uint32_t found = child_named(d, storage, parent, name);
    char path[PATH_MAX];
    struct stat st;
    if (found && !d->objects[found].plate) {
        if (object_disk_path(d, found, path) && lstat(path, &st)) {
            object_remove(d, found); /* the phone's user deleted it */
            return 0;
        }
        return found;
    }
    if (!found && child_path(d, storage, parent, name, path) && !lstat(path, &st)) {
        look(d, storage, parent);
        found = child_named(d, storage, parent, name);
    }
    return found;
}

/* -- storages and space ------------------------------------------------------------------------ */

static void space(struct device *d, int storage, uint64_t more, uint64_t less) {
    uint64_t *free_bytes = &d->shared->storage[storage].free;
    *free_bytes += more;
    *free_bytes = *free_bytes > less ? *free_bytes - less : 0;
}

/* The root of a storage, or a folder; -1: what stands in *code*. */
static int place(struct device *d, uint32_t storage, uint32_t parent, bool moving, uint32_t *at,
                 uint16_t *code) {
    int number = -1;
    bool root = parent == ROOT ? !(moving && d->profile.strict_roots)
                               : parent == 0 && (moving || !d->profile.strict_roots);
    *at = 0;
    if (root) {
        if (!storage_by_id(d, storage, &number)) return *code = RC_BAD_STORAGE, -1;
    } else {
        *at = object_find(d, parent);
        if (!*at) return *code = RC_BAD_HANDLE, -1;
        if (!d->objects[*at].folder) return *code = RC_BAD_PARENT, -1;
        number = d->objects[*at].storage;
    }
    if (!storage_usable(d, number)) return *code = RC_NO_STORE, -1;
    if (d->profile.storage[number].access) return *code = RC_READ_ONLY, -1;
    *code = RC_OK;
    return number;
}

/* -- what the host asks ------------------------------------------------------------------------ */

static void collect(struct device *d, int storage, uint32_t parent, bool deep, uint32_t **list,
                    uint32_t *count, uint32_t *size) {
    if (!look(d, storage, parent)) return;
    for (uint32_t at = *first_child(d, storage, parent); at; at = d->objects[at].next) {
        struct object *o = &d->objects[at];
        if (o->plate) continue;
        if (o->hidden && !d->profile.index_empty) {
            o->hidden--;
            log_object(d, '=', at);
            continue;
        }
        if (*count == *size) *list = realloc(*list, (*size = *size * 2 + 64) * sizeof **list);
        (*list)[(*count)++] = at;
        if (deep && o->folder) collect(d, storage, at, true, list, count, size);
    }
}

uint16_t device_handles(struct device *d, uint32_t storage, uint32_t parent, uint32_t **list,
                        uint32_t *count) {
    uint32_t size = 0;
    *list = NULL;
    *count = 0;
    int only = -1;
    if (d->shared->locked) return RC_NO_STORE;
    if (storage != ROOT && !storage_by_id(d, storage, &only)) return RC_BAD_STORAGE;
    if (only >= 0 && !storage_usable(d, only)) return RC_BAD_STORAGE;
    if (parent != 0 && parent != ROOT) {
        uint32_t at = object_find(d, parent);
        if (!at) return RC_BAD_HANDLE;
        if (!d->objects[at].folder) return RC_BAD_PARENT;
        if (!storage_usable(d, d->objects[at].storage)) return RC_NO_STORE;
        collect(d, d->objects[at].storage, at, false, list, count, &size);
        return RC_OK;
    }
    bool deep = parent == 0 && d->profile.zero_lists_all;
    for (int i = 0; i < STORAGES_MAX; i++)
        if (storage_usable(d, i) && (only < 0 || only == i))
            collect(d, i, 0, deep, list, count, &size);
    return RC_OK;
}

static time_t as_seen(struct device *d, time_t stored) {
    if (!d->profile.has_offset) return stored;
    time_t local = stored + d->profile.utc_offset; /* what the device's clock showed */
    struct tm parts;
    gmtime_r(&local, &parts);
    parts.tm_isdst = -1;
    return mktime(&parts); /* libmtp reads it in the host's zone */
}

char *device_time_text(struct device *d, time_t value) {
    struct tm parts;
    if (d->profile.has_offset) {
        value += d->profile.utc_offset;
        gmtime_r(&value, &parts);
    } else {
        localtime_r(&value, &parts);
    }
    char text[32];
    strftime(text, sizeof text, "%Y%m%dT%H%M%S", &parts);
    return strdup(text);
}

uint16_t device_information(struct device *d, uint32_t index, struct information *found) {
    struct object *o = &d->objects[index];
    char path[PATH_MAX];
    struct stat st;
    if (!storage_usable(d, o->storage)) return RC_NO_STORE;
    if (!object_disk_path(d, index, path) || stat(path, &st)) return RC_BAD_HANDLE;
    found->name = text_copy(o->name);
    found->size = o->folder ? 0 : (uint64_t)st.st_size;
    found->modified = as_seen(d, st.st_mtime);
    found->folder = o->folder;
    found->parent = object_handle(d, o->parent);
    if (!o->parent && d->profile.root_parent) {
        if (!strcmp(d->profile.root_parent, "all_ones")) found->parent = ROOT;
        if (!strcmp(d->profile.root_parent, "storage"))
            found->parent = d->profile.storage[o->storage].id;
    }
    if (o->hidden && d->profile.index_empty) {
        o->hidden--;
        log_object(d, '=', index);
        found->size = 0;
    }
    return RC_OK;
}

static uint32_t numbered(struct device *d, int storage, uint32_t parent, const char *name,
                         const char *pattern, char **made) {
    for (unsigned i = 0;; i++) {
        free(*made);
        if (asprintf(made, pattern, name, i) < 0) abort();
        uint32_t found = taken(d, storage, parent, *made);
        if (!found) return i;
    }
}

uint16_t device_send_info(struct device *d, uint32_t storage, uint32_t parent, const char *asked,
                          uint64_t size, bool folder, const char *stored_as, uint32_t *index) {
    uint16_t code;
    uint32_t at;
    int number = place(d, storage, parent, false, &at, &code);
    *index = 0;
    if (number < 0) return code;
    struct storage *s = &d->profile.storage[number];
    char *name = text_copy(stored_as ? stored_as : asked), *disk = NULL, path[PATH_MAX];
    if ((code = name_check(d, number, name)) != RC_OK) goto out;
    uint64_t announced = size > 0xffffffff ? 0xffffffff : size;
    code = RC_TOO_LARGE;
    if (!folder && s->file_max && announced > s->file_max) goto out;
    code = RC_STORE_FULL;
    if (!d->profile.full_cuts && announced > d->shared->storage[number].free) goto out;
    uint32_t old = taken(d, number, at, name);
    disk_name(d, number, at, name, &disk);
    if (old) {
        code = RC_GENERAL;
        if (d->profile.overwrite == REFUSE || d->objects[old].plate || folder ||
            d->objects[old].folder)
            goto out;
        if (d->profile.overwrite == REPLACE) {
            *index = old;
            code = RC_OK;
            goto out;
        }
        if (d->profile.overwrite == RENAME_NEW) {
            char *made = NULL;
            numbered(d, number, at, name, "%s.dup%u", &made);
            free(name);
            free(disk);
            name = made;
            disk = text_copy(made);
        } else if (d->profile.overwrite == TWINS) {
            free(disk);
            disk = NULL;
            numbered(d, number, at, name, "%s~%u", &disk);
        }
    }
    code = RC_GENERAL;
    if (!child_path(d, number, at, disk, path) || strlen(disk) > NAME_MAX) goto out;
    if (folder && mkdir(path, 0755)) goto out;
    *index = object_add(d, number, at, name, disk, folder);
    d->objects[*index].plate = !folder;
    if (folder) d->objects[*index].hidden = d->profile.index_listings;
    log_object(d, '+', *index);
    objects_flush(d); /* a crash between info and data leaves the name plate */
    code = RC_OK;
out:
    free(name);
    free(disk);
    return code;
}

/* The end of a file's data: it is an object now, or nothing is left of it. */
void device_received(struct device *d, uint32_t index, bool complete, uint64_t bytes) {
    struct object *o = &d->objects[index];
    char path[PATH_MAX];
    d->shared->incoming[0] = 0;
    if (!complete && !d->profile.keeps_partial) {
        if (object_disk_path(d, index, path)) unlink(path);
        object_remove(d, index);
        return;
    }
    bool fresh = o->plate;
    uint32_t twin = 0;
    if (fresh && d->profile.overwrite == VANISH)
        for (uint32_t at = *first_child(d, o->storage, o->parent); at; at = d->objects[at].next)
            if (at != index && !d->objects[at].plate && !strcmp(d->objects[at].name, o->name))
                twin = at;
    space(d, o->storage, 0, bytes);
    if (twin) { /* both are gone, and the name can't be used until the device starts again */
        if (object_disk_path(d, index, path)) unlink(path);
        object_remove(d, twin);
        return;
    }
    o->plate = false;
    if (fresh) o->hidden = d->profile.index_listings;
    log_object(d, '=', index);
    event_push(d, LIBMTP_EVENT_OBJECT_ADDED, object_handle(d, index));
}

static uint16_t remove_tree(struct device *d, uint32_t index, bool files_only) {
    char path[PATH_MAX];
    struct stat st;
    struct object *o = &d->objects[index];
    int storage = o->storage;
    if (!object_disk_path(d, index, path) || lstat(path, &st)) {
        object_remove(d, index);
        return RC_BAD_HANDLE;
    }
    if (!o->folder) {
        if (unlink(path)) return RC_GENERAL;
        space(d, storage, (uint64_t)st.st_size, 0);
        object_remove(d, index);
        return RC_OK;
    }
    look(d, storage, index);
    uint32_t next;
    bool all = true;
    for (uint32_t at = d->objects[index].first; at; at = next) {
        next = d->objects[at].next;
        if (files_only && d->objects[at].folder)
            all = false;
        else if (d->objects[at].plate)
            object_remove(d, at);
        else if (remove_tree(d, at, files_only) != RC_OK)
            all = false;
    }
    if (!all || rmdir(path)) return RC_PARTIAL_DELETION;
    object_remove(d, index);
    return RC_OK;
}

uint16_t device_delete(struct device *d, uint32_t index) {
    struct object *o = &d->objects[index];
    if (!storage_usable(d, o->storage)) return RC_NO_STORE;
    if (d->profile.storage[o->storage].access) return RC_READ_ONLY;
    if (o->folder && d->profile.folder_delete != RECURSIVE) {
        look(d, o->storage, index);
        if (d->objects[index].first) {
            if (d->profile.folder_delete == REFUSED) return RC_GENERAL;
            return remove_tree(d, index, true);
        }
    }
    return remove_tree(d, index, false);
}

static void rename_object(struct device *d, uint32_t index, int storage, uint32_t parent,
                          const char *name, const char *disk) {
    link_out(d, index);
    hash_remove(d, index);
    struct object *o = &d->objects[index];
    char *fresh = text_copy(name), *fresh_disk = text_copy(disk);
    free(o->name);
    free(o->disk);
    o->name = fresh;
    o->disk = fresh_disk;
    o->parent = parent;
    if (o->storage != storage) {
        o->storage = (uint8_t)storage;
        for (uint32_t at = o->first, next; at; at = next) { /* its children get new numbers */
            next = d->objects[at].next;
            object_remove(d, at);
        }
    }
    link_in(d, index);
    hash_add(d, index);
    log_object(d, '=', index);
}

uint16_t device_rename(struct device *d, uint32_t index, const char *asked) {
    struct object *o = &d->objects[index];
    int storage = o->storage;
    uint32_t parent = o->parent;
    if (!storage_usable(d, storage)) return RC_NO_STORE;
    if (d->profile.storage[storage].access) return RC_READ_ONLY;
    char *name = text_copy(asked), from[PATH_MAX], to[PATH_MAX];
    uint16_t code = name_check(d, storage, name);
    if (code == RC_OK) {
        uint32_t old = strcmp(name, o->name) ? taken(d, storage, parent, name) : 0;
        char *disk = NULL;
        disk_name(d, storage, parent, name, &disk);
        bool same_file = d->profile.storage[storage].folds && same_folded(name, o->disk);
        if (old || strlen(disk) > NAME_MAX || !object_disk_path(d, index, from) ||
            !child_path(d, storage, parent, same_file ? name : disk, to) || rename(from, to))
            code = RC_GENERAL;
        else
            rename_object(d, index, storage, parent, name, same_file ? name : disk);
        free(disk);
    }
    free(name);
    return code;
}

static bool copy_file(const char *from, const char *to, uint64_t *bytes) {
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    char *buffer = malloc(65536);
    ssize_t n = -1;
    while (out >= 0 && (n = read(in, buffer, 65536)) > 0) {
        if (write(out, buffer, (size_t)n) != n) {
            n = -1;
            break;
        }
        *bytes += (uint64_t)n;
    }
    free(buffer);
    if (in >= 0) close(in);
    if (out >= 0) close(out);
    return n == 0;
}

uint16_t device_move(struct device *d, uint32_t index, uint32_t storage, uint32_t parent) {
    uint16_t code;
    uint32_t at;
    if (!d->profile.move) return RC_UNSUPPORTED;
    int number = place(d, storage, parent, true, &at, &code);
    if (number < 0) return code;
    struct object *o = &d->objects[index];
    for (uint32_t up = at; up; up = d->objects[up].parent)
        if (up == index) return RC_BAD_PARENT;
    char from[PATH_MAX], to[PATH_MAX];
    if (taken(d, number, at, o->name) || !object_disk_path(d, index, from) ||
        !child_path(d, number, at, o->name, to))
        return RC_GENERAL;
    struct stat st;
    if (stat(from, &st)) return RC_BAD_HANDLE;
    if (o->storage != number && !o->folder) {
        if ((uint64_t)st.st_size > d->shared->storage[number].free) return RC_STORE_FULL;
        space(d, o->storage, (uint64_t)st.st_size, 0);
        space(d, number, 0, (uint64_t)st.st_size);
    }
    if (rename(from, to)) return RC_GENERAL;
    char *name = text_copy(o->name);
    rename_object(d, index, number, at, name, name);
    free(name);
    return RC_OK;
}

uint16_t device_copy(struct device *d, uint32_t index, uint32_t storage, uint32_t parent) {
    uint16_t code;
    uint32_t at;
    if (!d->profile.copy) return RC_UNSUPPORTED;
    int number = place(d, storage, parent, true, &at, &code);
    if (number < 0) return code;
    struct object *o = &d->objects[index];
    if (o->folder) return RC_GENERAL;
    char from[PATH_MAX], to[PATH_MAX];
    struct stat st;
    if (taken(d, number, at, o->name) || !object_disk_path(d, index, from) ||
        !child_path(d, number, at, o->name, to) || stat(from, &st))
        return RC_GENERAL;
    if ((uint64_t)st.st_size > d->shared->storage[number].free) return RC_STORE_FULL;
    uint64_t bytes = 0;
    if (!copy_file(from, to, &bytes)) return RC_GENERAL;
    space(d, number, 0, bytes);
    char *name = text_copy(o->name);
    log_object(d, '+', object_add(d, number, at, name, name, false));
    free(name);
    return RC_OK;
}

uint16_t device_set_time(struct device *d, uint32_t index, const char *text) {
    if (!d->profile.mtime_settable) return RC_NOT_SETTABLE;
    struct tm parts = {.tm_isdst = -1};
    char path[PATH_MAX];
    if (!strptime(text, "%Y%m%dT%H%M%S", &parts)) return RC_BAD_PARAMETER;
    time_t value = d->profile.has_offset ? timegm(&parts) - d->profile.utc_offset : mktime(&parts);
    struct timespec times[2] = {{value, 0}, {value, 0}};
    if (!object_disk_path(d, index, path) || utimensat(AT_FDCWD, path, times, 0))
        return RC_BAD_HANDLE;
    forget(d, index);
    return RC_OK;
}
