/* Uses every function of the fake once and more, frees what a caller must free, and exits: for
 * sanitizers, which see what the library does with memory. Linked with the library's own sources. */
#include "fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint16_t give(void *params, void *private, uint32_t want, unsigned char *data,
                     uint32_t *got) {
    (void)params;
    int *left = private;
    memset(data, 'x', want);
    *got = want;
    return (*left)-- == 0 ? LIBMTP_HANDLER_RETURN_CANCEL : LIBMTP_HANDLER_RETURN_OK;
}

static uint16_t take(void *params, void *private, uint32_t length, unsigned char *data,
                     uint32_t *done) {
    (void)params;
    uint64_t *sum = private;
    for (uint32_t i = 0; i < length; i++) *sum += data[i];
    *done = length;
    return LIBMTP_HANDLER_RETURN_OK;
}

static int progress(uint64_t const done, uint64_t const total, void const *const data) {
    (void)data;
    return done > total;
}

static int upload(LIBMTP_mtpdevice_t *device, const char *name, uint64_t size, uint32_t parent,
                  int chunks, uint32_t *id) {
    LIBMTP_file_t *file = LIBMTP_new_file_t();
    file->filename = strdup(name);
    file->filesize = size;
    file->parent_id = parent;
    file->storage_id = 0x10001;
    int result = LIBMTP_Send_File_From_Handler(device, give, &chunks, file, progress, NULL);
    if (id) *id = file->item_id;
    LIBMTP_destroy_file_t(file);
    return result;
}

static void walk(LIBMTP_mtpdevice_t *device, uint32_t parent, int depth) {
    LIBMTP_file_t *file = LIBMTP_Get_Files_And_Folders(device, 0, parent);
    while (file) {
        LIBMTP_file_t *next = file->next;
        uint64_t sum = 0;
        unsigned char *data;
        unsigned size;
        if (file->filetype == LIBMTP_FILETYPE_FOLDER && depth < 5)
            walk(device, file->item_id, depth + 1);
        LIBMTP_Get_File_To_Handler(device, file->item_id, take, &sum, progress, NULL);
        if (!LIBMTP_GetPartialObject(device, file->item_id, 3, 100, &data, &size)) free(data);
        LIBMTP_destroy_file_t(LIBMTP_Get_Filemetadata(device, file->item_id));
        free(LIBMTP_Get_String_From_Object(device, file->item_id, LIBMTP_PROPERTY_DateModified));
        LIBMTP_destroy_file_t(file);
        file = next;
    }
#ifdef FAKE_NEWER
    uint32_t *children;
    if (LIBMTP_Get_Children(device, 0, parent, &children) > 0) LIBMTP_FreeMemory(children);
#endif
}

static void use(LIBMTP_raw_device_t *raw) {
    LIBMTP_mtpdevice_t *device = LIBMTP_Open_Raw_Device_Uncached(raw);
    if (!device) return;
    char *(*const texts[])(LIBMTP_mtpdevice_t *) = {
        LIBMTP_Get_Manufacturername, LIBMTP_Get_Modelname, LIBMTP_Get_Serialnumber,
        LIBMTP_Get_Deviceversion, LIBMTP_Get_Friendlyname};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free(texts[i](device));
    LIBMTP_Get_Storage(device, 0);
    walk(device, LIBMTP_FILES_AND_FOLDERS_ROOT, 0);
    char folder[] = "made", again[] = "made", renamed[] = "renamed", bad[] = "\xff";
    uint32_t id = 0, made = LIBMTP_Create_Folder(device, folder, ROOT, 0x10001);
    LIBMTP_Create_Folder(device, again, ROOT, 0x10001);
    LIBMTP_Create_Folder(device, bad, ROOT, 0);
    upload(device, "one", 100000, made, -1, &id);
    upload(device, "one", 100000, made, -1, NULL);
    upload(device, "two", 100000, made, 3, NULL);
    upload(device, "zero", 0, made, -1, NULL);
    upload(device, "nowhere", 10, 4711, -1, NULL);
    LIBMTP_Set_Object_Filename(device, id, renamed);
    LIBMTP_Set_Object_String(device, id, LIBMTP_PROPERTY_DateModified, "20200102T030405");
    LIBMTP_Copy_Object(device, id, 0x10001, 0);
    LIBMTP_Move_Object(device, id, 0x10001, 0);
    LIBMTP_Move_Object(device, made, 0x10001, made);
    walk(device, ROOT, 0);
    walk(device, 0, 4);
    LIBMTP_Custom_Operation(device, 0x1006, 3, (uint32_t)0x10001, (uint32_t)0, ROOT);
    LIBMTP_Custom_Operation(device, 0x1002, 1, (uint32_t)1);
    for (LIBMTP_error_t *e = LIBMTP_Get_Errorstack(device); e; e = e->next) printf("%s\n", e->error_text);
    LIBMTP_Clear_Errorstack(device);
    LIBMTP_Delete_Object(device, made);
    LIBMTP_Delete_Object(device, made);
    walk(device, ROOT, 0);
    LIBMTP_Release_Device(device);
}

int main(void) {
    LIBMTP_Init();
    for (int round = 0; round < 3; round++) { /* the second one reads the table of the first */
        LIBMTP_raw_device_t *raw;
        int count;
        LIBMTP_Detect_Raw_Devices(&raw, &count);
        for (int i = 0; i < count; i++) use(&raw[i]);
        free(raw);
    }
    LIBMTP_folder_t *folder = LIBMTP_new_folder_t();
    folder->child = LIBMTP_new_folder_t();
    folder->sibling = LIBMTP_new_folder_t();
    folder->sibling->name = strdup("b");
    LIBMTP_destroy_folder_t(folder);
    LIBMTP_destroy_file_t(NULL);
    puts("done");
    return 0;
}
