/* libmtp's functions: what libmtp 1.1.20 makes of the device's answers, as measured and read. */
#define _GNU_SOURCE
#include "fake.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK 16384
#define FIRST_UP 1012  /* 1,024 less the container's header */
#define FIRST_DOWN 500 /* 512 less it */

static struct device *of(LIBMTP_mtpdevice_t *device) { return device->params; }

/* -- the error stack --------------------------------------------------------------------------- */

static void add_error(struct device *d, LIBMTP_error_number_t number, const char *text) {
    LIBMTP_error_t *error = calloc(1, sizeof *error), **end = &d->public->errorstack;
    error->errornumber = number;
    error->error_text = strdup(text);
    while (*end) end = &(*end)->next;
    *end = error;
}

static const char *code_text(uint16_t code) {
    switch (code) {
    case RC_IO: return "PTP I/O Error";
    case RC_DATA_EXPECTED: return "PTP Data Expected";
    case RC_TIMEOUT: return "PTP Timeout";
    case RC_CANCEL: return "PTP Cancel Request";
    case RC_GENERAL: return "PTP General Error";
    case RC_NO_SESSION: return "PTP Session Not Open";
    case RC_UNSUPPORTED: return "PTP Operation Not Supported";
    case RC_BAD_STORAGE: return "PTP Invalid Storage ID";
    case RC_BAD_HANDLE: return "PTP Invalid Object Handle";
    case RC_STORE_FULL: return "PTP Store Full";
    case 0x200d: return "PTP Object Write Protected";
    case RC_READ_ONLY: return "PTP Store Read Only";
    case 0x200f: return "PTP Access Denied";
    case RC_PARTIAL_DELETION: return "PTP Partial Deletion";
    case RC_NO_STORE: return "PTP Store Not Available";
    case 0x2019: return "PTP Device Busy";
    case RC_BAD_PARENT: return "PTP Invalid Parent Object";
    case RC_BAD_PARAMETER: return "PTP Invalid Parameter";
    case RC_TOO_LARGE: return "Object Too Large";
    default: return "Undefined";
    }
}

static void add_ptp_error(struct device *d, uint16_t code, const char *text) {
    char line[256];
    snprintf(line, sizeof line, "PTP Layer error %04x: %s", code, text);
    add_error(d, LIBMTP_ERROR_PTP_LAYER, line);
    snprintf(line, sizeof line, "Error %04x: %s", code, code_text(code));
    add_error(d, LIBMTP_ERROR_PTP_LAYER, line);
}

LIBMTP_error_t *LIBMTP_Get_Errorstack(LIBMTP_mtpdevice_t *device) { return device->errorstack; }

void LIBMTP_Clear_Errorstack(LIBMTP_mtpdevice_t *device) {
    LIBMTP_error_t *error = device->errorstack;
    while (error) {
        LIBMTP_error_t *next = error->next;
        free(error->error_text);
        free(error);
        error = next;
    }
    device->errorstack = NULL;
}

void LIBMTP_Dump_Errorstack(LIBMTP_mtpdevice_t *device) {
    for (LIBMTP_error_t *error = device->errorstack; error; error = error->next)
        fprintf(stderr, "Error %d: %s\n", (int)error->errornumber, error->error_text);
}

/* -- finding and opening ----------------------------------------------------------------------- */

void LIBMTP_Init(void) {}
void LIBMTP_Set_Debug(int level) { (void)level; }

static int device_folders(char folders[][PATH_MAX], int most) {
    const char *state = getenv("FAKE_LIBMTP_STATE");
    char path[PATH_MAX - 300];
    if (!state || (size_t)snprintf(path, sizeof path, "%s/devices", state) >= sizeof path) return 0;
    struct dirent **found;
    int all = scandir(path, &found, NULL, alphasort), count = 0;
    for (int i = 0; i < all; i++) {
        if (found[i]->d_name[0] != '.' && count < most)
            snprintf(folders[count++], PATH_MAX, "%s/%s", path, found[i]->d_name);
        free(found[i]);
    }
    if (all >= 0) free(found);
    return count;
}

static uint8_t devnum_of(int number, const struct shared *shared) {
    return (uint8_t)(1 + (number * 40 + (int)(shared->plug + shared->address)) % 127);
}

/* The table of libmtp lives as long as the process; these stand for its strings. */
static char *kept(const char *text) {
    static struct { char *text; } table[64];
    for (int i = 0; i < 64; i++) {
        if (!table[i].text) table[i].text = text_copy(text);
        if (table[i].text && !strcmp(table[i].text, text)) return table[i].text;
    }
    return table[0].text;
}

LIBMTP_error_number_t LIBMTP_Detect_Raw_Devices(LIBMTP_raw_device_t **devices, int *count) {
    struct call call;
    call_begin(NULL, &call, "Detect_Raw_Devices");
    static char folders[16][PATH_MAX];
    int all = device_folders(folders, 16);
    *devices = NULL;
    *count = 0;
    for (int i = 0; i < all; i++) {
        struct shared *shared = shared_map(folders[i]);
        struct profile profile = {0};
        if (shared && shared->plugged && profile_load(folders[i], &profile) &&
            !(shared->no_access && !profile.listed)) {
            *devices = realloc(*devices, sizeof **devices * (size_t)(*count + 1));
            LIBMTP_raw_device_t *raw = &(*devices)[*count];
            memset(raw, 0, sizeof *raw);
            raw->device_entry.vendor_id = (uint16_t)profile.vendor_id;
            raw->device_entry.product_id = (uint16_t)profile.product_id;
            raw->device_entry.device_flags = profile.flags;
            raw->bus_location = profile.bus;
            raw->devnum = devnum_of(i, shared);
            if (profile.listed) {
                raw->device_entry.vendor = kept(profile.vendor);
                raw->device_entry.product = kept(profile.product);
                printf("Device %d (VID=%04x and PID=%04x) is a %s %s.\n", *count, profile.vendor_id,
                       profile.product_id, profile.vendor, profile.product);
            } else {
                printf("Device %d (VID=%04x and PID=%04x) is UNKNOWN in libmtp v1.1.20.\n"
                       "Please report this VID/PID and the device model to the libmtp development "
                       "team\n",
                       *count, profile.vendor_id, profile.product_id);
            }
            (*count)++;
        }
        profile_free(&profile);
        shared_unmap(shared);
    }
    LIBMTP_error_number_t result = *count ? LIBMTP_ERROR_NONE : LIBMTP_ERROR_NO_DEVICE_ATTACHED;
    call_end_int(NULL, &call, (int)result);
    return result;
}

int LIBMTP_Check_Specific_Device(int bus, int number) {
    static char folders[16][PATH_MAX];
    int all = device_folders(folders, 16), found = 0;
    for (int i = 0; i < all; i++) {
        struct shared *shared = shared_map(folders[i]);
        struct profile profile = {0};
        if (shared && shared->plugged && profile_load(folders[i], &profile))
            found |= (int)profile.bus == bus && devnum_of(i, shared) == number;
        profile_free(&profile);
        shared_unmap(shared);
    }
    return found;
}

static void device_free(struct device *d, bool keep_claim) {
    objects_close(d);
    faults_free(d);
    profile_free(&d->profile);
    shared_unmap(d->shared);
    if (d->claim >= 0 && !keep_claim) close(d->claim);
    free(d->folder);
    if (d->public) {
        LIBMTP_Clear_Errorstack(d->public);
        LIBMTP_devicestorage_t *s = d->public->storage;
        while (s) {
            LIBMTP_devicestorage_t *next = s->next;
            free(s->StorageDescription);
            free(s->VolumeIdentifier);
            free(s);
            s = next;
        }
        LIBMTP_device_extension_t *e = d->public->extensions;
        while (e) {
            LIBMTP_device_extension_t *next = e->next;
            free(e->name);
            free(e);
            e = next;
        }
        free(d->public);
    }
    free(d);
}

static bool claim(struct device *d) {
    if (d->shared->no_access || fault_now(d, "Claim", K_NO_ACCESS)) {
        fprintf(stderr, "LIBMTP PANIC: Could not open device: Access denied (insufficient "
                        "permissions)\n");
        return false;
    }
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/claim", d->folder);
    d->claim = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    bool free_to_use = d->claim >= 0 && !flock(d->claim, LOCK_EX | LOCK_NB);
    if (!d->shared->held && free_to_use && !fault_now(d, "Claim", K_BUSY)) return true;
    if (d->claim >= 0) close(d->claim);
    d->claim = -1;
    fprintf(stderr, "libusb_claim_interface() reports device is busy, likely in use by GVFS or KDE "
                    "MTP device handling already");
    return false;
}

static void add_extension(struct device *d, const char *name) {
    LIBMTP_device_extension_t **end = &d->public->extensions;
    while (*end) end = &(*end)->next;
    *end = calloc(1, sizeof **end);
    (*end)->name = strdup(name);
    (*end)->major = 1;
}

static int get_storage(struct device *d);

/* What a killed host left: the device notices when it is opened again. */
static void clean_up_after_the_dead(struct device *d) {
    if (d->shared->session && d->profile.reset_ms) pause_for(d->profile.reset_ms / 1e3);
    if (!d->shared->incoming[0]) return;
    for (uint32_t i = 1; i < d->object_count; i++) {
        char path[PATH_MAX];
        if (!d->objects[i].gone && d->objects[i].plate && object_disk_path(d, i, path) &&
            !strcmp(path, d->shared->incoming)) {
            struct stat st;
            uint64_t size = stat(path, &st) ? 0 : (uint64_t)st.st_size;
            device_received(d, i, false, size);
            break;
        }
    }
    d->shared->incoming[0] = 0;
}

static LIBMTP_mtpdevice_t *panic(struct device *d, struct call *call, const char *text,
                                 bool leak_claim) {
    if (text) fputs(text, stderr);
    call_end(d, call, "null");
    d->call = NULL;
    device_free(d, leak_claim); /* libmtp forgets the claimed handle on this way out */
    return NULL;
}

static LIBMTP_mtpdevice_t *open_device(LIBMTP_raw_device_t *raw, bool cached, const char *name) {
    static char folders[16][PATH_MAX];
    struct call call;
    int all = device_folders(folders, 16), number = -1;
    struct shared *shared = NULL;
    for (int i = 0; i < all && number < 0; i++) {
        struct profile profile = {0};
        shared = shared_map(folders[i]);
        if (shared && shared->plugged && profile_load(folders[i], &profile) &&
            profile.bus == raw->bus_location && devnum_of(i, shared) == raw->devnum)
            number = i;
        else
            shared_unmap(shared);
        profile_free(&profile);
    }
    if (number < 0) {
        call_begin(NULL, &call, name);
        fputs("LIBMTP PANIC: Unable to initialize device\n", stderr);
        call_end(NULL, &call, "null");
        return NULL;
    }
    struct device *d = calloc(1, sizeof *d);
    d->folder = strdup(folders[number]);
    d->shared = shared;
    d->plug = shared->plug;
    d->claim = d->log = -1;
    d->profile_generation = shared->profile_generation;
    profile_load(d->folder, &d->profile);
    d->faults_generation = shared->faults_generation - 1;
    call_begin(d, &call, name);
    if (!claim(d)) return panic(d, &call, "LIBMTP PANIC: Unable to initialize device\n", false);
    if (!objects_open(d)) return panic(d, &call, "LIBMTP PANIC: no table of objects\n", false);
    struct strike strike;
    uint16_t code = op_begin(d, "OpenSession", false, 0, NULL, &strike);
    if (code == RC_OK) code = op_end(d, "OpenSession", false, &strike, code);
    if (code == RC_IO) {
        fputs("PTP_ERROR_IO: failed to open session, trying again after resetting USB interface\n"
              "LIBMTP libusb: Attempt to reset device\n",
              stderr);
        d->hung = false;
        code = op_begin(d, "OpenSession", false, 0, NULL, &strike);
        if (code == RC_OK) code = op_end(d, "OpenSession", false, &strike, code);
        if (code == RC_IO)
            return panic(d, &call,
                         "LIBMTP PANIC: failed to open session on second attempt\n"
                         "LIBMTP PANIC: Unable to initialize device\n", true);
    }
    if (code != RC_OK && code != 0x201e) {
        fprintf(stderr, "LIBMTP PANIC: Could not open session! (Return code %d)\n"
                        "  Try to reset the device.\n", code);
        return panic(d, &call, "LIBMTP PANIC: Unable to initialize device\n", true);
    }
    clean_up_after_the_dead(d);
    d->shared->session = (uint32_t)getpid();
    code = op_begin(d, "GetDeviceInfo", true, 0, NULL, &strike);
    if (code == RC_OK) code = op_end(d, "GetDeviceInfo", true, &strike, code);
    if (code != RC_OK) {
        fprintf(stderr, "LIBMTP PANIC: Unable to read device information on device %d on bus %u, "
                        "trying to continue\n", raw->devnum, raw->bus_location);
        return panic(d, &call, NULL, true);
    }
    LIBMTP_mtpdevice_t *device = d->public = calloc(1, sizeof *device);
    device->params = d;
    device->usbinfo = d;
    device->cached = cached;
    device->maximum_battery_level = 100;
    code = op_begin(d, "GetObjectPropDesc", true, 0, NULL, &strike);
    device->object_bitsize = (uint8_t)(code == RC_OK && d->profile.bitsize == 64 ? 64 : 32);
    add_extension(d, "microsoft.com");
    if (d->profile.android) {
        add_extension(d, "android.com");
        printf("Android device detected, assigning default bug flags\n");
    }
    if (get_storage(d)) {
        add_error(d, LIBMTP_ERROR_GENERAL, "Get Storage information failed.");
        device->storage = NULL;
    }
    call_text(&call, "serial", d->profile.serial);
    call_end(d, &call, "\"device\"");
    return device;
}

LIBMTP_mtpdevice_t *LIBMTP_Open_Raw_Device_Uncached(LIBMTP_raw_device_t *raw) {
    return open_device(raw, false, "Open_Raw_Device_Uncached");
}

LIBMTP_mtpdevice_t *LIBMTP_Open_Raw_Device(LIBMTP_raw_device_t *raw) {
    return open_device(raw, true, "Open_Raw_Device");
}

void LIBMTP_Release_Device(LIBMTP_mtpdevice_t *device) {
    struct device *d = of(device);
    struct call call;
    struct strike strike;
    call_begin(d, &call, "Release_Device");
    if (d->hung) /* the device still doesn't answer: another whole timeout */
        do
            pause_for(d->hung_for_good ? 3600 : d->hang_s);
        while (d->hung_for_good);
    op_begin(d, "CloseSession", false, 0, NULL, &strike);
    if (d->shared->plug == d->plug) d->shared->session = 0;
    if (d->profile.moves_on_close) d->shared->address++;
    call_end(d, &call, "null");
    device_free(d, false);
}

int LIBMTP_Reset_Device(LIBMTP_mtpdevice_t *device) {
    struct device *d = of(device);
    add_error(d, LIBMTP_ERROR_GENERAL,
              "LIBMTP_Reset_Device(): device does not support resetting.");
    return -1;
}

static char *say(LIBMTP_mtpdevice_t *device, const char *function, const char *text) {
    struct device *d = of(device);
    struct call call;
    call_begin(d, &call, function);
    call_end(d, &call, text ? "\"text\"" : "null");
    return text_copy(text);
}

char *LIBMTP_Get_Manufacturername(LIBMTP_mtpdevice_t *device) {
    return say(device, "Get_Manufacturername", of(device)->profile.manufacturer);
}

char *LIBMTP_Get_Modelname(LIBMTP_mtpdevice_t *device) {
    return say(device, "Get_Modelname", of(device)->profile.model);
}

char *LIBMTP_Get_Serialnumber(LIBMTP_mtpdevice_t *device) {
    return say(device, "Get_Serialnumber", of(device)->profile.serial);
}

char *LIBMTP_Get_Deviceversion(LIBMTP_mtpdevice_t *device) {
    return say(device, "Get_Deviceversion", of(device)->profile.version);
}

char *LIBMTP_Get_Friendlyname(LIBMTP_mtpdevice_t *device) {
    return say(device, "Get_Friendlyname", of(device)->profile.friendly);
}

int LIBMTP_Get_Batterylevel(LIBMTP_mtpdevice_t *device, uint8_t *const most, uint8_t *const now) {
    struct device *d = of(device);
    *most = *now = 0;
    if (!d->profile.battery) return -1;
    *most = device->maximum_battery_level;
    *now = (uint8_t)d->profile.battery;
    return 0;
}

int LIBMTP_Check_Capability(LIBMTP_mtpdevice_t *device, LIBMTP_devicecap_t capability) {
    const struct profile *p = &of(device)->profile;
    switch (capability) {
    case LIBMTP_DEVICECAP_GetPartialObject: return p->partial;
    case LIBMTP_DEVICECAP_MoveObject: return p->move;
    case LIBMTP_DEVICECAP_CopyObject: return p->copy;
    default: return 0; /* editing in place isn't modelled */
    }
}

/* -- storages ---------------------------------------------------------------------------------- */

static void free_storages(struct device *d) {
    LIBMTP_devicestorage_t *s = d->public->storage;
    while (s) {
        LIBMTP_devicestorage_t *next = s->next;
        free(s->StorageDescription);
        free(s->VolumeIdentifier);
        free(s);
        s = next;
    }
    d->public->storage = NULL;
}

static int get_storage(struct device *d) {
    struct strike strike;
    free_storages(d);
    uint16_t code = op_begin(d, "GetStorageIDs", true, 0, NULL, &strike);
    struct fault *none = strike_with(&strike, K_NO_STORAGES);
    if (code == RC_OK) code = op_end(d, "GetStorageIDs", true, &strike, code);
    if (code != RC_OK) {
        add_ptp_error(d, code, "LIBMTP_Get_Storage(): Could not get storage IDs.");
        return -1;
    }
    if (none) ledger_note(d, none, "GetStorageIDs");
    LIBMTP_devicestorage_t *last = NULL;
    int count = 0;
    for (int i = 0; i < STORAGES_MAX && !none; i++) {
        if (!storage_usable(d, i)) continue;
        const struct storage *s = &d->profile.storage[i];
        code = op_begin(d, "GetStorageInfo", true, 0, s->description, &strike);
        if (code == RC_OK) code = op_end(d, "GetStorageInfo", true, &strike, code);
        if (code != RC_OK) {
            add_ptp_error(d, code, "LIBMTP_Get_Storage(): Could not get storage info.");
            free_storages(d);
            return -1;
        }
        LIBMTP_devicestorage_t *one = calloc(1, sizeof *one);
        one->id = s->id;
        one->StorageType = s->type;
        one->FilesystemType = s->filesystem;
        one->AccessCapability = s->access;
        one->MaxCapacity = s->capacity;
        one->FreeSpaceInBytes = d->shared->storage[i].free;
        one->FreeSpaceInObjects = 0x40000000;
        one->StorageDescription = text_copy(s->description);
        one->VolumeIdentifier = text_copy(s->volume);
        one->prev = last;
        if (last)
            last->next = one;
        else
            d->public->storage = one;
        last = one;
        count++;
    }
    return count ? 0 : -1; /* none: -1, and nothing on the error stack */
}

int LIBMTP_Get_Storage(LIBMTP_mtpdevice_t *device, int const order) {
    struct device *d = of(device);
    struct call call;
    call_begin(d, &call, "Get_Storage");
    call_number(&call, "order", (uint64_t)order);
    return call_end_int(d, &call, get_storage(d));
}

/* -- what libmtp knows of an object ------------------------------------------------------------ */

static void unknow(struct device *d, uint32_t index) {
    struct object *o = &d->objects[index];
    free(o->known_name);
    o->known_name = NULL;
    o->known = false;
}

/* The device tells about an object, faults included. */
static uint16_t ask(struct device *d, uint32_t index, struct information *found) {
    struct strike strike;
    memset(found, 0, sizeof *found);
    uint16_t code = op_begin(d, "GetObjectInfo", true, index, NULL, &strike);
    if (code == RC_OK && strike_with(&strike, K_MISSING)) {
        ledger_note(d, strike_with(&strike, K_MISSING), "GetObjectInfo");
        code = RC_DATA_EXPECTED;
    }
    if (code == RC_OK) code = device_information(d, index, found);
    code = op_end(d, "GetObjectInfo", true, &strike, code);
    if (code != RC_OK) {
        free(found->name);
        found->name = NULL;
        return code;
    }
    struct fault *f;
    if ((f = strike_with(&strike, K_SHOW_NAME))) {
        free(found->name);
        found->name = text_copy(f->as_name);
    }
    if ((f = strike_with(&strike, K_SHOW_PARENT))) found->parent = (uint32_t)f->value;
    if ((f = strike_with(&strike, K_SHOW_SIZE))) found->size = f->value;
    return RC_OK;
}

/* As ptp_object_want(): from the session's memory where it has it. */
static bool want(struct device *d, uint32_t index) {
    struct object *o = &d->objects[index];
    struct information found;
    if (o->known && !d->profile.fresh_size) return true;
    if (o->known) { /* listed Android: the size is asked for each time, name and time are not */
        struct strike strike;
        op_count(d, "GetObjectPropsSupported");
        uint16_t code = op_begin(d, "GetObjectPropValue", true, index, NULL, &strike);
        if (code == RC_OK && device_information(d, index, &found) == RC_OK) {
            o->known_size = found.size;
            free(found.name);
        }
        return true;
    }
    if (ask(d, index, &found) != RC_OK) return false;
    o = &d->objects[index];
    o->known_name = found.name;
    o->known_size = found.size;
    o->known_time = found.modified;
    o->known_parent = found.parent;
    o->known = true;
    if (d->profile.fresh_size) {
        op_count(d, "GetObjectPropsSupported");
        op_count(d, "GetObjectPropValue");
    } else {
        op_count(d, "GetObjPropList");
    }
    return true;
}

static LIBMTP_filetype_t type_of(const struct object *o) {
    if (o->folder) return LIBMTP_FILETYPE_FOLDER;
    const char *dot = o->known_name ? strrchr(o->known_name, '.') : NULL;
    if (dot && !strcasecmp(dot, ".mp3")) return LIBMTP_FILETYPE_MP3;
    if (dot && !strcasecmp(dot, ".jpg")) return LIBMTP_FILETYPE_JPEG;
    if (dot && !strcasecmp(dot, ".txt")) return LIBMTP_FILETYPE_TEXT;
    return LIBMTP_FILETYPE_UNKNOWN;
}

static uint64_t size_told(struct device *d, uint64_t size) {
    return d->public->object_bitsize == 32 ? size & 0xffffffff : size;
}

static LIBMTP_file_t *as_file(struct device *d, uint32_t index) {
    const struct object *o = &d->objects[index];
    LIBMTP_file_t *file = LIBMTP_new_file_t();
    file->item_id = object_handle(d, index);
    file->parent_id = o->known_parent;
    file->storage_id = d->profile.storage[o->storage].id;
    file->filename = text_copy(o->known_name);
    file->filesize = size_told(d, o->known_size);
    file->modificationdate = o->known_time;
    file->filetype = type_of(o);
    return file;
}

LIBMTP_file_t *LIBMTP_new_file_t(void) {
    LIBMTP_file_t *file = calloc(1, sizeof *file);
    file->filetype = LIBMTP_FILETYPE_UNKNOWN;
    return file;
}

void LIBMTP_destroy_file_t(LIBMTP_file_t *file) {
    if (!file) return;
    free(file->filename);
    free(file);
}

LIBMTP_folder_t *LIBMTP_new_folder_t(void) { return calloc(1, sizeof(LIBMTP_folder_t)); }

void LIBMTP_destroy_folder_t(LIBMTP_folder_t *folder) {
    while (folder) {
        LIBMTP_folder_t *next = folder->sibling;
        LIBMTP_destroy_folder_t(folder->child);
        free(folder->name);
        free(folder);
        folder = next;
    }
}

/* Numbers of the children, faults included; the ghost is one past every object. */
static uint16_t handles(struct device *d, uint32_t storage, uint32_t parent, uint32_t **list,
                        uint32_t *count) {
    struct strike strike;
    uint32_t at = parent && parent != ROOT ? object_find(d, parent) : 0;
    *list = NULL;
    *count = 0;
    uint16_t code =
        op_begin(d, "GetObjectHandles", true, at, at ? NULL : "/", &strike);
    if (code != RC_OK) return code;
    code = device_handles(d, storage ? storage : ROOT, parent, list, count);
    code = op_end(d, "GetObjectHandles", true, &strike, code);
    if (code != RC_OK) {
        free(*list);
        *list = NULL;
        *count = 0;
        return code;
    }
    if (strike_with(&strike, K_EMPTY_LIST)) *count = 0;
    for (int i = 0; i < strike.count; i++) {
        struct fault *f = strike.list[i];
        uint32_t extra;
        if (f->kind == K_CYCLE)
            extra = object_walk(d, f->as_path ? f->as_path : "/");
        else if (f->kind == K_DUPLICATE && *count)
            extra = (*list)[0];
        else if (f->kind == K_GHOST)
            extra = UINT32_MAX;
        else
            continue;
        if (!extra) extra = at; /* a folder that contains itself */
        *list = realloc(*list, sizeof **list * (*count + 1));
        (*list)[(*count)++] = extra;
    }
    return RC_OK;
}

LIBMTP_file_t *LIBMTP_Get_Files_And_Folders(LIBMTP_mtpdevice_t *device, uint32_t const storage,
                                            uint32_t const parent) {
    struct device *d = of(device);
    struct call call;
    call_begin(d, &call, "Get_Files_And_Folders");
    call_number(&call, "storage", storage);
    call_number(&call, "parent", parent);
    if (device->cached) {
        fprintf(stderr, "tried to use %s on a cached device!\n", __func__);
        call_end(d, &call, "null");
        return NULL;
    }
    uint32_t *list, count, told = 0;
    uint16_t code = handles(d, storage, parent, &list, &count);
    LIBMTP_file_t *first = NULL, **end = &first;
    if (code != RC_OK) {
        char text[80];
        snprintf(text, sizeof text,
                 "LIBMTP_Get_Files_And_Folders(): could not get object handles of %08x.", parent);
        add_ptp_error(d, code, text);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (list[i] == UINT32_MAX || !want(d, list[i])) continue; /* nobody is told */
        *end = as_file(d, list[i]);
        end = &(*end)->next;
        told++;
    }
    free(list);
    char result[16];
    snprintf(result, sizeof result, "%u", told);
    call_end(d, &call, first ? result : "null");
    return first;
}

#ifdef FAKE_NEWER
int LIBMTP_Get_Children(LIBMTP_mtpdevice_t *device, uint32_t const storage, uint32_t const parent,
                        uint32_t **out) {
    struct device *d = of(device);
    struct call call;
    call_begin(d, &call, "Get_Children");
    call_number(&call, "storage", storage);
    call_number(&call, "parent", parent);
    *out = NULL;
    if (device->cached) {
        fprintf(stderr, "tried to use %s on a cached device!\n", __func__);
        return call_end_int(d, &call, -1);
    }
    uint32_t *list, count;
    uint16_t code = handles(d, storage, parent, &list, &count);
    if (code != RC_OK) {
        char text[80];
        snprintf(text, sizeof text,
                 "LIBMTP_Get_Children(): could not get object handles of %08x.", parent);
        add_ptp_error(d, code, text);
        return call_end_int(d, &call, -1);
    }
    for (uint32_t i = 0; i < count; i++)
        list[i] = list[i] == UINT32_MAX ? d->profile.handle_base + d->object_count + 1000
                                        : object_handle(d, list[i]);
    if (!count) {
        free(list);
        list = NULL;
    }
    *out = list;
    return call_end_int(d, &call, (int)count);
}

void LIBMTP_FreeMemory(void *memory) { free(memory); }
#endif

/* The number of an object that libmtp may ask for; a lost one is still known to the session. */
static uint32_t asked_for(struct device *d, uint32_t handle) {
    uint32_t index = object_find(d, handle);
    if (index) return index;
    index = handle - d->profile.handle_base;
    if (index && index < d->object_count && d->objects[index].known) return index;
    struct strike strike; /* the transaction that fails */
    op_begin(d, "GetObjectInfo", true, 0, NULL, &strike);
    return 0;
}

LIBMTP_file_t *LIBMTP_Get_Filemetadata(LIBMTP_mtpdevice_t *device, uint32_t const id) {
    struct device *d = of(device);
    struct call call;
    call_begin(d, &call, "Get_Filemetadata");
    call_number(&call, "id", id);
    uint32_t index = asked_for(d, id);
    LIBMTP_file_t *file = index && want(d, index) ? as_file(d, index) : NULL;
    call_end(d, &call, file ? "\"file\"" : "null");
    return file;
}

char *LIBMTP_Get_String_From_Object(LIBMTP_mtpdevice_t *device, uint32_t const id,
                                    LIBMTP_property_t const property) {
    struct device *d = of(device);
    struct call call;
    call_begin(d, &call, "Get_String_From_Object");
    call_number(&call, "id", id);
    call_number(&call, "property", property);
    struct strike strike;
    struct information found = {0};
    uint32_t index = object_find(d, id);
    char *text = NULL;
    uint16_t code = op_begin(d, "GetObjectPropValue", true, index, NULL, &strike);
    if (code == RC_OK) code = index ? device_information(d, index, &found) : RC_DATA_EXPECTED;
    if (code == RC_OK) {
        if (property == LIBMTP_PROPERTY_ObjectFileName || property == LIBMTP_PROPERTY_Name)
            text = text_copy(found.name);
        else if (property == LIBMTP_PROPERTY_DateModified)
            text = device_time_text(d, found.modified);
        free(found.name);
    } else {
        add_ptp_error(d, code, "get_string_from_object(): could not get object string.");
    }
    call_end(d, &call, text ? "\"text\"" : "null");
    return text;
}

uint64_t LIBMTP_Get_u64_From_Object(LIBMTP_mtpdevice_t *device, uint32_t const id,
                                    LIBMTP_property_t const property, uint64_t const otherwise) {
    struct device *d = of(device);
    uint32_t index = object_find(d, id);
    if (property != LIBMTP_PROPERTY_ObjectSize || !index || !want(d, index)) return otherwise;
    return d->objects[index].known_size;
}

/* -- download ---------------------------------------------------------------------------------- */

struct sink {
    MTPDataPutFunc handler;
    void *private;
    int fd;
};

static uint16_t sink_put(struct sink *sink, unsigned char *data, uint32_t length) {
    if (sink->handler) {
        uint32_t taken = 0;
        return sink->handler(NULL, sink->private, length, data, &taken) ? RC_CANCEL : RC_OK;
    }
    return write(sink->fd, data, length) == (ssize_t)length ? RC_OK : RC_IO;
}

static void throttle(struct device *d, uint64_t bytes) {
    if (d->profile.bytes_per_s) pause_for((double)bytes / (double)d->profile.bytes_per_s);
}

static bool device_there(struct device *d) {
    return d->shared->plugged && d->shared->plug == d->plug;
}

static void flip(struct strike *strike, unsigned char *data, uint64_t at, uint32_t length) {
    for (int i = 0; i < strike->count; i++) {
        struct fault *f = strike->list[i];
        if (f->kind == K_CORRUPT && f->after_bytes >= at && f->after_bytes < at + length)
            data[f->after_bytes - at] ^= 0x20;
    }
}

/* Data phase of GetObject. */
static uint16_t pour(struct device *d, int fd, uint64_t size, struct sink *sink,
                     struct strike *strike, LIBMTP_progressfunc_t progress, void const *data) {
    unsigned char *buffer = malloc(CHUNK);
    uint64_t done = 0, limit, total = size + 16;
    uint16_t code = RC_OK;
    bool first = true;
    if (progress && progress(16, total, data)) { /* before a byte came: out of step */
        d->broken = RC_DATA_EXPECTED;
        code = RC_IO;
    }
    while (code == RC_OK) {
        struct fault *f = strike_at(strike, done, &limit);
        if (f && f->kind == K_SHORT) {
            ledger_note(d, f, "GetObject");
            break; /* the device ended it: for libmtp that is the end of the object */
        }
        if (f && (code = fault_bites(d, f, "GetObject")) != RC_OK) {
            if (code >= 0x2000) code = RC_DATA_EXPECTED;
            break;
        }
        if (f) strike_drop(strike, f); /* slow: it has had its turn */
        if (done == size) break;
        uint32_t want = first ? FIRST_DOWN : CHUNK;
        if (want > size - done) want = (uint32_t)(size - done);
        if (limit - done < want) want = (uint32_t)(limit - done);
        first = false;
        ssize_t n = pread(fd, buffer, want, (off_t)done);
        if (n <= 0) break; /* shrank on the device */
        if (!device_there(d)) {
            code = RC_IO;
            break;
        }
        throttle(d, (uint64_t)n);
        flip(strike, buffer, done, (uint32_t)n);
        done += (uint64_t)n;
        code = sink_put(sink, buffer, (uint32_t)n);
        if (code == RC_OK && progress && progress(done + 16, total, data)) code = RC_CANCEL;
    }
    d->call->bytes = done;
    free(buffer);
    return code;
}

static int download(struct device *d, uint32_t id, struct sink *sink,
                    LIBMTP_progressfunc_t progress, void const *data) {
    struct strike strike;
    d->call->has_bytes = true;
    uint32_t index = asked_for(d, id);
    if (!index || !want(d, index)) {
        add_error(d, LIBMTP_ERROR_GENERAL,
                  "LIBMTP_Get_File_To_File_Descriptor(): Could not get object info.");
        return -1;
    }
    if (d->objects[index].folder) {
        add_error(d, LIBMTP_ERROR_GENERAL,
                  "LIBMTP_Get_File_To_File_Descriptor(): Bad object format.");
        return -1;
    }
    char path[PATH_MAX];
    if (object_path(d, index, path)) call_text(d->call, "path", path);
    uint16_t code = op_begin(d, "GetObject", true, index, NULL, &strike);
    if (code == RC_OK) {
        int fd = -1;
        struct stat st;
        if (storage_usable(d, d->objects[index].storage) && object_disk_path(d, index, path))
            fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st)) {
            code = RC_DATA_EXPECTED;
        } else {
            code = pour(d, fd, (uint64_t)st.st_size, sink, &strike, progress, data);
        }
        if (fd >= 0) close(fd);
        if (code == RC_OK) code = op_end(d, "GetObject", true, &strike, code);
    }
    if (code == RC_OK) return 0;
    if (code == RC_CANCEL) {
        if (strike_with(&strike, K_LATE_CANCEL)) d->one_off = RC_DATA_EXPECTED;
        add_error(d, LIBMTP_ERROR_CANCELLED,
                  "LIBMTP_Get_File_From_File_Descriptor(): Cancelled transfer.");
    } else {
        add_ptp_error(d, code,
                      "LIBMTP_Get_File_To_File_Descriptor(): Could not get file from device.");
    }
    return -1;
}

int LIBMTP_Get_File_To_Handler(LIBMTP_mtpdevice_t *device, uint32_t const id, MTPDataPutFunc put,
                               void *private, LIBMTP_progressfunc_t const progress,
                               void const *const data) {
    struct device *d = of(device);
    struct call call;
    struct sink sink = {put, private, -1};
    call_begin(d, &call, "Get_File_To_Handler");
    call_number(&call, "id", id);
    return call_end_int(d, &call, download(d, id, &sink, progress, data));
}

int LIBMTP_Get_File_To_File_Descriptor(LIBMTP_mtpdevice_t *device, uint32_t const id, int const fd,
                                       LIBMTP_progressfunc_t const progress,
                                       void const *const data) {
    struct device *d = of(device);
    struct call call;
    struct sink sink = {NULL, NULL, fd};
    call_begin(d, &call, "Get_File_To_File_Descriptor");
    call_number(&call, "id", id);
    return call_end_int(d, &call, download(d, id, &sink, progress, data));
}

int LIBMTP_Get_File_To_File(LIBMTP_mtpdevice_t *device, uint32_t id, char const *const path,
                            LIBMTP_progressfunc_t const progress, void const *const data) {
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        add_error(of(device), LIBMTP_ERROR_GENERAL,
                  "LIBMTP_Get_File_To_File(): Could not create file.");
        return -1;
    }
    int result = LIBMTP_Get_File_To_File_Descriptor(device, id, fd, progress, data);
    close(fd);
    if (result) unlink(path);
    return result;
}

int LIBMTP_GetPartialObject(LIBMTP_mtpdevice_t *device, uint32_t const id, uint64_t offset,
                            uint32_t most, unsigned char **data, unsigned int *size) {
    struct device *d = of(device);
    struct call call;
    struct strike strike;
    call_begin(d, &call, "GetPartialObject");
    call_number(&call, "id", id);
    call_number(&call, "offset", offset);
    call_number(&call, "most", most);
    call.has_bytes = true;
    *data = NULL;
    *size = 0;
    if (!d->profile.partial) {
        add_error(d, LIBMTP_ERROR_GENERAL,
                  "LIBMTP_GetPartialObject: PTP_OC_GetPartialObject not supported");
        return call_end_int(d, &call, -1);
    }
    if (!d->profile.android && offset >> 32) {
        add_error(d, LIBMTP_ERROR_GENERAL,
                  "LIBMTP_GetPartialObject: PTP_OC_GetPartialObject only supports 32bit offsets");
        return call_end_int(d, &call, -1);
    }
    uint32_t index = asked_for(d, id);
    if (!index || !want(d, index)) return call_end_int(d, &call, -1);
    uint16_t code = op_begin(d, "GetPartialObject", true, index, NULL, &strike);
    if (code == RC_OK) {
        char path[PATH_MAX];
        int fd = object_disk_path(d, index, path) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        ssize_t n = -1;
        if (fd >= 0) {
            *data = malloc(most ? most : 1);
            n = pread(fd, *data, most, (off_t)offset);
            close(fd);
        }
        struct fault *f = strike_with(&strike, K_SHORT);
        if (f && n > (ssize_t)f->after_bytes) n = (ssize_t)f->after_bytes;
        if (n < 0) code = RC_DATA_EXPECTED;
        if (n > 0) flip(&strike, *data, offset, (uint32_t)n);
        if (code == RC_OK) {
            *size = (unsigned)n;
            call.bytes = (uint64_t)n;
        }
        code = op_end(d, "GetPartialObject", true, &strike, code);
    }
    if (code != RC_OK) { /* and nothing on the error stack */
        free(*data);
        *data = NULL;
        *size = 0;
        return call_end_int(d, &call, -1);
    }
    return call_end_int(d, &call, 0);
}

/* -- upload ------------------------------------------------------------------------------------ */

struct source {
    MTPDataGetFunc handler;
    void *private;
    int fd;
};

static uint16_t source_get(struct source *source, unsigned char *data, uint32_t want,
                           uint32_t *got) {
    *got = 0;
    if (source->handler) return source->handler(NULL, source->private, want, data, got);
    ssize_t n = read(source->fd, data, want);
    *got = n > 0 ? (uint32_t)n : 0;
    return n < 0 ? LIBMTP_HANDLER_RETURN_ERROR : LIBMTP_HANDLER_RETURN_OK;
}

/* How much libmtp asks for next: whole USB packets, then the tail. */
static uint32_t next_ask(uint64_t left, bool first) {
    if (first) return left < FIRST_UP ? (uint32_t)left : FIRST_UP;
    if (left > CHUNK) return CHUNK;
    if (left > 512 && left % 512) return (uint32_t)(left - left % 512);
    return (uint32_t)left;
}

struct arrival {
    int fd;
    uint64_t written, room;
    bool discards, cut;
};

static bool store(struct arrival *to, const unsigned char *data, uint64_t length) {
    if (to->cut) {
        uint64_t room = to->room > to->written ? to->room - to->written : 0;
        if (length > room) length = room; /* the rest is dropped, and nobody is told */
    }
    uint64_t done = 0;
    while (done < length && !to->discards) {
        ssize_t n = write(to->fd, data + done, (size_t)(length - done));
        if (n <= 0) return false;
        done += (uint64_t)n;
    }
    to->written += length;
    return true;
}

/* What lies at this byte happens; *limit* is where the next fault lies. */
static uint16_t reached(struct device *d, struct strike *strike, uint64_t done, uint64_t *limit) {
    struct fault *f;
    while ((f = strike_at(strike, done, limit))) {
        uint16_t code = fault_bites(d, f, "SendObject");
        if (code != RC_OK) return code;
        strike_drop(strike, f); /* slow: it has had its turn */
    }
    return RC_OK;
}

/* Data phase of SendObject. */
static uint16_t gather(struct device *d, uint64_t size, struct source *source,
                       struct arrival *arrival, struct strike *strike,
                       LIBMTP_progressfunc_t progress, void const *data) {
    unsigned char *buffer = malloc(CHUNK);
    uint64_t done = 0, limit, total = size + 12;
    uint16_t code = RC_OK;
    bool first = true;
    if (progress && progress(12, total, data)) code = RC_CANCEL;
    if (code == RC_OK) code = reached(d, strike, done, &limit);
    while (code == RC_OK && done < size) {
        uint32_t want = next_ask(size - done, first), got = 0;
        uint16_t answer = source_get(source, buffer, want, &got);
        if (answer == LIBMTP_HANDLER_RETURN_CANCEL) {
            code = RC_CANCEL;
            break;
        }
        if (answer != LIBMTP_HANDLER_RETURN_OK || (first && got != want)) {
            d->broken = RC_IO; /* the device goes on waiting for data */
            code = answer == LIBMTP_HANDLER_RETURN_OK ? RC_GENERAL : RC_IO;
            break;
        }
        first = false;
        if (got > want) got = want;
        throttle(d, got);
        flip(strike, buffer, done, got);
        if (!device_there(d)) code = RC_IO;
        /* In pieces, as faults may lie inside; 0 bytes: libmtp asks again, for ever. */
        for (uint32_t offset = 0; offset < got && code == RC_OK;) {
            uint32_t piece = limit - done < got - offset ? (uint32_t)(limit - done) : got - offset;
            if (!store(arrival, buffer + offset, piece)) code = RC_STORE_FULL;
            offset += piece;
            done += piece;
            if (code == RC_OK) code = reached(d, strike, done, &limit);
        }
        if (code == RC_OK && progress && progress(done + 12, total, data)) code = RC_CANCEL;
    }
    d->call->bytes = done;
    free(buffer);
    return code;
}

static uint16_t send_object(struct device *d, uint32_t index, uint64_t size, struct source *source,
                            LIBMTP_progressfunc_t progress, void const *data) {
    struct strike strike;
    char path[PATH_MAX];
    struct object *o = &d->objects[index];
    const struct storage *s = &d->profile.storage[o->storage];
    struct stat st;
    uint16_t code = op_begin(d, "SendObject", false, index, NULL, &strike);
    if (code != RC_OK) {
        /* The device never saw the operation, when its answer isn't a response of its own. */
        if (code >= 0x2000) device_received(d, index, false, 0);
        return code;
    }
    struct arrival arrival = {-1, 0, d->shared->storage[o->storage].free, s->discards, false};
    arrival.cut = d->profile.full_cuts;
    struct fault *cut = strike_with(&strike, K_STORE_CUT);
    if (cut) {
        ledger_note(d, cut, "SendObject");
        arrival.cut = true;
        arrival.room = cut->after_bytes;
    }
    if (object_disk_path(d, index, path)) {
        if (!o->plate && !stat(path, &st))
            d->shared->storage[o->storage].free += (uint64_t)st.st_size;
        arrival.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    }
    if (arrival.fd < 0) {
        device_received(d, index, false, 0);
        return RC_GENERAL;
    }
    snprintf(d->shared->incoming, sizeof d->shared->incoming, "%s", path);
    code = gather(d, size, source, &arrival, &strike, progress, data);
    if (s->discards && ftruncate(arrival.fd, (off_t)arrival.written)) code = RC_GENERAL;
    close(arrival.fd);
    if (code == RC_OK && strike_with(&strike, K_LIE)) {
        ledger_note(d, strike_with(&strike, K_LIE), "SendObject");
        device_received(d, index, false, 0);
        return RC_OK;
    }
    if (code == RC_CANCEL && strike_with(&strike, K_LATE_CANCEL)) {
        ledger_note(d, strike_with(&strike, K_LATE_CANCEL), "SendObject");
        d->one_off = RC_DATA_EXPECTED;
    }
    device_received(d, index, code == RC_OK, arrival.written);
    return code == RC_OK ? op_end(d, "SendObject", false, &strike, code) : code;
}

static int utf16_units(const char *text) {
    int units = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c;) {
        int more = *c < 0x80 ? 0 : *c >= 0xc2 && *c < 0xe0 ? 1 : (*c & 0xf0) == 0xe0 ? 2
                   : *c >= 0xf0 && *c < 0xf5 ? 3 : -1;
        if (more < 0 || (*c == 0xe0 && c[1] < 0xa0) || (*c == 0xed && c[1] > 0x9f)) return -1;
        if ((*c == 0xf0 && c[1] < 0x90) || (*c == 0xf4 && c[1] > 0x8f)) return -1;
        units += more == 3 ? 2 : 1;
        c++;
        while (more--)
            if ((*c++ & 0xc0) != 0x80) return -1;
    }
    return units;
}

/* The name as it goes over the wire: nothing at all when libmtp can't convert it. */
static const char *on_the_wire(const char *name) {
    int units = name ? utf16_units(name) : -1;
    return units < 0 || units > 254 ? "" : name;
}

static uint32_t suggested_storage(struct device *d, uint32_t parent) {
    uint32_t at = object_find(d, parent);
    if (at) return d->profile.storage[d->objects[at].storage].id;
    for (int i = 0; i < STORAGES_MAX; i++)
        if (storage_usable(d, i) && !d->profile.storage[i].access)
            return d->profile.storage[i].id;
    return 0;
}

static uint32_t default_folder(struct device *d, uint32_t parent, LIBMTP_filetype_t type) {
    if (parent || !d->profile.redirects) return parent;
    const char *name = type == LIBMTP_FILETYPE_MP3 ? "/Music"
                       : type == LIBMTP_FILETYPE_JPEG ? "/Pictures" : NULL;
    uint32_t at = name ? object_walk(d, name) : 0;
    return at ? object_handle(d, at) : parent;
}

/* SendObjectInfo; 0 and the error stack, or the new object. */
static uint32_t send_info(struct device *d, uint32_t storage, uint32_t parent, const char *name,
                          uint64_t size, bool folder, const char *complaint) {
    struct strike strike;
    uint32_t index = 0;
    uint16_t code =
        op_begin(d, "SendObjectInfo", false, object_find(d, parent), name, &strike);
    struct fault *as = strike_with(&strike, K_STORED_AS), *lie = strike_with(&strike, K_LIE);
    if (code == RC_OK && !(lie && folder))
        code = device_send_info(d, storage, parent, on_the_wire(name), size, folder,
                                as ? as->as_name : NULL, &index);
    if (as && index) ledger_note(d, as, "SendObjectInfo");
    if (lie && folder && code == RC_OK) {
        ledger_note(d, lie, "SendObjectInfo");
        index = d->object_count + 1; /* a number that nothing has */
    }
    code = op_end(d, "SendObjectInfo", false, &strike, code);
    if (code == RC_OK) return index;
    add_ptp_error(d, code, complaint);
    if (code == 0x200f) add_error(d, LIBMTP_ERROR_PTP_LAYER, "ACCESS DENIED.");
    return 0;
}

/* uMTP-Responder with inotify hangs when nobody reads its events. */
static void wait_for_drain(struct device *d) {
    if (!d->profile.undrained_ms) return;
    double waited = 0;
    while (d->shared->events_written != d->shared->events_read &&
           waited < d->profile.undrained_ms / 1e3) {
        pause_for(0.005);
        waited += 0.005;
    }
}

static int upload(struct device *d, struct source *source, LIBMTP_file_t *file,
                  LIBMTP_progressfunc_t progress, void const *data, const char *function) {
    char text[96];
    d->call->has_bytes = true;
    call_text(d->call, "name", file->filename);
    call_number(d->call, "parent", file->parent_id);
    call_number(d->call, "storage", file->storage_id);
    call_number(d->call, "size", file->filesize);
    file->parent_id = default_folder(d, file->parent_id, file->filetype);
    uint32_t storage = file->storage_id;
    if (!storage) {
        storage = suggested_storage(d, file->parent_id);
        add_ptp_error(d, RC_OK, "get_suggested_storage_id(): could not get storage id from parent id.");
    }
    wait_for_drain(d);
    uint32_t index = send_info(d, storage, file->parent_id, file->filename, file->filesize, false,
                               "send_file_object_info(): Could not send object info.");
    if (!index) return -1;
    file->item_id = object_handle(d, index);
    char path[PATH_MAX];
    if (object_path(d, index, path)) call_text(d->call, "path", path);
    uint16_t code = send_object(d, index, file->filesize, source, progress, data);
    if (code != RC_OK) {
        bool cancelled = code == RC_CANCEL;
        snprintf(text, sizeof text, "LIBMTP_%s(): %s", function,
                 cancelled ? "Cancelled transfer." : "Could not send object.");
        if (cancelled)
            add_error(d, LIBMTP_ERROR_CANCELLED, text);
        else
            add_ptp_error(d, code, text);
        return -1;
    }
    /* Two tries to read it back: what fills the cache, and the metadata. */
    bool there = object_find(d, file->item_id) && want(d, index);
    if (!there) there = object_find(d, file->item_id) && want(d, index);
    if (!there) {
        snprintf(text, sizeof text, "LIBMTP_%s(): Could not retrieve updated metadata.", function);
        add_error(d, LIBMTP_ERROR_GENERAL, text);
        return -1;
    }
    const struct object *o = &d->objects[index];
    file->parent_id = o->known_parent;
    file->storage_id = d->profile.storage[o->storage].id;
    return 0;
}

int LIBMTP_Send_File_From_Handler(LIBMTP_mtpdevice_t *device, MTPDataGetFunc get, void *private,
                                  LIBMTP_file_t *const file, LIBMTP_progressfunc_t const progress,
                                  void const *const data) {
    struct device *d = of(device);
    struct call call;
    struct source source = {get, private, -1};
    call_begin(d, &call, "Send_File_From_Handler");
    return call_end_int(d, &call, upload(d, &source, file, progress, data, call.function));
}

int LIBMTP_Send_File_From_File_Descriptor(LIBMTP_mtpdevice_t *device, int const fd,
                                          LIBMTP_file_t *const file,
                                          LIBMTP_progressfunc_t const progress,
                                          void const *const data) {
    struct device *d = of(device);
    struct call call;
    struct source source = {NULL, NULL, fd};
    call_begin(d, &call, "Send_File_From_File_Descriptor");
    return call_end_int(d, &call, upload(d, &source, file, progress, data, call.function));
}

int LIBMTP_Send_File_From_File(LIBMTP_mtpdevice_t *device, char const *const path,
                               LIBMTP_file_t *const file, LIBMTP_progressfunc_t const progress,
                               void const *const data) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        add_error(of(device), LIBMTP_ERROR_GENERAL,
                  "LIBMTP_Send_File_From_File(): Could not open source file.");
        return -1;
    }
    int result = LIBMTP_Send_File_From_File_Descriptor(device, fd, file, progress, data);
    close(fd);
    return result;
}

uint32_t LIBMTP_Create_Folder(LIBMTP_mtpdevice_t *device, char *name, uint32_t parent,
                              uint32_t storage) {
    struct device *d = of(device);
    struct call call;
    call_begin(d, &call, "Create_Folder");
    call_text(&call, "name", name);
    call_number(&call, "parent", parent);
    call_number(&call, "storage", storage);
    if (!storage) storage = suggested_storage(d, parent);
    uint32_t index = send_info(d, storage, parent, name, 0, true,
                               "LIBMTP_Create_Folder: Could not send object info.");
    uint32_t id = object_handle(d, index);
    if (id && object_find(d, id)) want(d, index);
    call_end_int(d, &call, (int)id);
    return id;
}

/* -- changing objects -------------------------------------------------------------------------- */

struct change {
    const char *op, *complaint;
    uint32_t index;
};

static bool change_begin(struct device *d, const struct change *change, struct strike *strike,
                         uint16_t *code) {
    *code = op_begin(d, change->op, false, change->index, NULL, strike);
    if (*code == RC_OK && !change->index) *code = RC_BAD_HANDLE;
    struct fault *lie = strike_with(strike, K_LIE);
    if (*code != RC_OK || !lie) return *code == RC_OK;
    ledger_note(d, lie, change->op);
    return false;
}

static int change_end(struct device *d, const struct change *change, struct strike *strike,
                      uint16_t code) {
    if (code == RC_OK) code = op_end(d, change->op, false, strike, code);
    if (code == RC_OK) return 0;
    add_ptp_error(d, code, change->complaint);
    return -1;
}

int LIBMTP_Delete_Object(LIBMTP_mtpdevice_t *device, uint32_t id) {
    struct device *d = of(device);
    struct call call;
    struct strike strike;
    uint16_t code;
    char path[PATH_MAX];
    call_begin(d, &call, "Delete_Object");
    call_number(&call, "id", id);
    struct change change = {"DeleteObject", "LIBMTP_Delete_Object(): could not delete object.",
                            object_find(d, id)};
    if (change.index && object_path(d, change.index, path)) call_text(&call, "path", path);
    if (change_begin(d, &change, &strike, &code)) {
        code = device_delete(d, change.index);
        if (code == RC_OK) unknow(d, change.index);
    }
    return call_end_int(d, &call, change_end(d, &change, &strike, code));
}

static int move_or_copy(LIBMTP_mtpdevice_t *device, uint32_t id, uint32_t storage, uint32_t parent,
                        const char *function, struct change *change,
                        uint16_t (*act)(struct device *, uint32_t, uint32_t, uint32_t)) {
    struct device *d = of(device);
    struct call call;
    struct strike strike;
    uint16_t code;
    char path[PATH_MAX];
    call_begin(d, &call, function);
    call_number(&call, "id", id);
    call_number(&call, "storage", storage);
    call_number(&call, "parent", parent);
    change->index = object_find(d, id);
    if (change->index && object_path(d, change->index, path)) call_text(&call, "path", path);
    if (change_begin(d, change, &strike, &code)) {
        code = act(d, change->index, storage, parent);
        if (code == RC_OK) unknow(d, change->index);
    }
    return call_end_int(d, &call, change_end(d, change, &strike, code));
}

int LIBMTP_Move_Object(LIBMTP_mtpdevice_t *device, uint32_t id, uint32_t storage,
                       uint32_t parent) {
    struct change change = {"MoveObject", "LIBMTP_Move_Object(): could not move object.", 0};
    return move_or_copy(device, id, storage, parent, "Move_Object", &change, device_move);
}

int LIBMTP_Copy_Object(LIBMTP_mtpdevice_t *device, uint32_t id, uint32_t storage,
                       uint32_t parent) {
    struct change change = {"CopyObject", "LIBMTP_Copy_Object(): could not copy object.", 0};
    return move_or_copy(device, id, storage, parent, "Copy_Object", &change, device_copy);
}

static int rename_to(LIBMTP_mtpdevice_t *device, uint32_t id, const char *name,
                     const char *function) {
    struct device *d = of(device);
    struct call call;
    struct strike strike;
    uint16_t code;
    char path[PATH_MAX];
    call_begin(d, &call, function);
    call_number(&call, "id", id);
    call_text(&call, "name", name);
    uint32_t index = asked_for(d, id);
    if (index && object_path(d, index, path)) call_text(&call, "path", path);
    if (!index || !want(d, index)) {
        add_error(d, LIBMTP_ERROR_GENERAL,
                  "LIBMTP_Set_Object_Filename(): could not get file metadata for target object.");
        return call_end_int(d, &call, -1);
    }
    if (!d->profile.rename) {
        add_error(d, LIBMTP_ERROR_GENERAL, "set_object_filename():  property is not settable.");
        return call_end_int(d, &call, -1);
    }
    struct change change = {"SetObjectPropValue",
                            "set_object_filename():  could not set object filename.",
                            object_find(d, id)};
    if (change_begin(d, &change, &strike, &code)) {
        code = device_rename(d, index, on_the_wire(name));
        if (code == RC_OK) unknow(d, index);
    }
    return call_end_int(d, &call, change_end(d, &change, &strike, code));
}

int LIBMTP_Set_Object_Filename(LIBMTP_mtpdevice_t *device, uint32_t id, char *name) {
    return rename_to(device, id, name, "Set_Object_Filename");
}

int LIBMTP_Set_File_Name(LIBMTP_mtpdevice_t *device, LIBMTP_file_t *file, const char *name) {
    int result = rename_to(device, file->item_id, name, "Set_File_Name");
    if (result) return result;
    free(file->filename);
    file->filename = text_copy(name);
    return 0;
}

int LIBMTP_Set_Folder_Name(LIBMTP_mtpdevice_t *device, LIBMTP_folder_t *folder, const char *name) {
    int result = rename_to(device, folder->folder_id, name, "Set_Folder_Name");
    if (result) return result;
    free(folder->name);
    folder->name = text_copy(name);
    return 0;
}

int LIBMTP_Set_Object_String(LIBMTP_mtpdevice_t *device, uint32_t const id,
                             LIBMTP_property_t const property, char const *const text) {
    struct device *d = of(device);
    struct call call;
    struct strike strike;
    uint16_t code;
    call_begin(d, &call, "Set_Object_String");
    call_number(&call, "id", id);
    call_number(&call, "property", property);
    call_text(&call, "text", text);
    struct change change = {"SetObjectPropValue",
                            "set_object_string(): could not set object string.",
                            object_find(d, id)};
    if (change_begin(d, &change, &strike, &code)) {
        if (property == LIBMTP_PROPERTY_DateModified)
            code = device_set_time(d, change.index, text);
        else if (property == LIBMTP_PROPERTY_ObjectFileName)
            code = device_rename(d, change.index, on_the_wire(text));
        else
            code = RC_NOT_SETTABLE;
    }
    return call_end_int(d, &call, change_end(d, &change, &strike, code));
}

/* -- the rest ---------------------------------------------------------------------------------- */

int LIBMTP_Custom_Operation(LIBMTP_mtpdevice_t *device, uint16_t operation, int count, ...) {
    struct device *d = of(device);
    struct call call;
    struct strike strike;
    uint32_t parameters[5] = {0};
    va_list more;
    va_start(more, count);
    for (int i = 0; i < count && i < 5; i++) parameters[i] = va_arg(more, uint32_t);
    va_end(more);
    call_begin(d, &call, "Custom_Operation");
    call_number(&call, "operation", operation);
    for (int i = 0; i < count && i < 5; i++) {
        static const char *const names[] = {"p1", "p2", "p3", "p4", "p5"};
        call_number(&call, names[i], parameters[i]);
    }
    uint16_t code;
    if (operation == 0x1002) { /* OpenSession */
        code = op_begin(d, "OpenSession", false, 0, NULL, &strike);
        if (code == RC_OK) code = op_end(d, "OpenSession", false, &strike, code);
        if (code == RC_OK && d->broken) code = d->broken;
        if (code == RC_OK && !d->lost) code = 0x201e; /* already open */
        if (code == RC_OK) d->lost = false;
    } else if (operation == 0x1006) { /* GetNumObjects: the count is lost, the code is true */
        uint32_t *list, found;
        code = op_begin(d, "GetNumObjects", false, 0, NULL, &strike);
        if (code == RC_OK) {
            code = device_handles(d, parameters[0], count > 2 ? parameters[2] : ROOT, &list, &found);
            free(list);
            code = op_end(d, "GetNumObjects", false, &strike, code);
        }
    } else {
        code = op_begin(d, "CustomOperation", false, 0, NULL, &strike);
        if (code == RC_OK) code = RC_UNSUPPORTED;
    }
    if (code == RC_OK) return call_end_int(d, &call, 0);
    add_ptp_error(d, code, "LIBMTP_Custom_Operation(): failed to execute operation.");
    return call_end_int(d, &call, -1);
}

/* May run in another thread: it touches the shared page only. */
int LIBMTP_Read_Event(LIBMTP_mtpdevice_t *device, LIBMTP_event_t *event, uint32_t *parameter) {
    struct device *d = of(device);
    struct shared *s = d->shared;
    uint32_t plug = d->plug;
    double waited = 0, most = d->profile.event_wait_ms / 1e3;
    *event = LIBMTP_EVENT_NONE;
    *parameter = 0;
    while (s->events_written == s->events_read) {
        if (!s->plugged || s->plug != plug || (most > 0 && waited >= most)) return -1;
        pause_for(0.005);
        waited += 0.005;
    }
    *event = (LIBMTP_event_t)s->events[s->events_read % EVENTS_MAX].code;
    *parameter = s->events[s->events_read % EVENTS_MAX].parameter;
    s->events_read++;
    return 0;
}
