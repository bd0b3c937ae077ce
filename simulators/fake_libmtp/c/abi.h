/* What the fake needs of libmtp 1.1.20's binary interface, for machines without libmtp-dev.
 *
 * Written from the layouts that a probe measured, not from libmtp's header; where that header is
 * installed it is used instead, and the tests compare this file with it. */
#ifndef FAKE_LIBMTP_ABI_H
#define FAKE_LIBMTP_ABI_H

#include <stdint.h>
#include <sys/time.h>
#include <time.h>

typedef enum {
    LIBMTP_FILETYPE_FOLDER = 0,
    LIBMTP_FILETYPE_MP3 = 2,
    LIBMTP_FILETYPE_JPEG = 14,
    LIBMTP_FILETYPE_TEXT = 27,
    LIBMTP_FILETYPE_UNKNOWN = 44
} LIBMTP_filetype_t;

typedef enum {
    LIBMTP_PROPERTY_StorageID = 0,
    LIBMTP_PROPERTY_ObjectSize = 3,
    LIBMTP_PROPERTY_ObjectFileName = 6,
    LIBMTP_PROPERTY_DateModified = 8,
    LIBMTP_PROPERTY_ParentObject = 10,
    LIBMTP_PROPERTY_Name = 17,
    LIBMTP_PROPERTY_UNKNOWN = 170
} LIBMTP_property_t;

typedef enum {
    LIBMTP_DEVICECAP_GetPartialObject,
    LIBMTP_DEVICECAP_SendPartialObject,
    LIBMTP_DEVICECAP_EditObjects,
    LIBMTP_DEVICECAP_MoveObject,
    LIBMTP_DEVICECAP_CopyObject
} LIBMTP_devicecap_t;

typedef enum {
    LIBMTP_ERROR_NONE,
    LIBMTP_ERROR_GENERAL,
    LIBMTP_ERROR_PTP_LAYER,
    LIBMTP_ERROR_USB_LAYER,
    LIBMTP_ERROR_MEMORY_ALLOCATION,
    LIBMTP_ERROR_NO_DEVICE_ATTACHED,
    LIBMTP_ERROR_STORAGE_FULL,
    LIBMTP_ERROR_CONNECTING,
    LIBMTP_ERROR_CANCELLED
} LIBMTP_error_number_t;

enum LIBMTP_event_enum {
    LIBMTP_EVENT_NONE,
    LIBMTP_EVENT_STORE_ADDED,
    LIBMTP_EVENT_STORE_REMOVED,
    LIBMTP_EVENT_OBJECT_ADDED,
    LIBMTP_EVENT_OBJECT_REMOVED,
    LIBMTP_EVENT_DEVICE_PROPERTY_CHANGED
};
typedef enum LIBMTP_event_enum LIBMTP_event_t;

#define LIBMTP_HANDLER_RETURN_OK 0
#define LIBMTP_HANDLER_RETURN_ERROR 1
#define LIBMTP_HANDLER_RETURN_CANCEL 2
#define LIBMTP_FILES_AND_FOLDERS_ROOT 0xffffffff

typedef struct LIBMTP_device_entry_struct {
    char *vendor;
    uint16_t vendor_id;
    char *product;
    uint16_t product_id;
    uint32_t device_flags;
} LIBMTP_device_entry_t;

typedef struct LIBMTP_raw_device_struct {
    LIBMTP_device_entry_t device_entry;
    uint32_t bus_location;
    uint8_t devnum;
} LIBMTP_raw_device_t;

typedef struct LIBMTP_error_struct {
    LIBMTP_error_number_t errornumber;
    char *error_text;
    struct LIBMTP_error_struct *next;
} LIBMTP_error_t;

typedef struct LIBMTP_device_extension_struct {
    char *name;
    int major, minor;
    struct LIBMTP_device_extension_struct *next;
} LIBMTP_device_extension_t;

typedef struct LIBMTP_devicestorage_struct {
    uint32_t id;
    uint16_t StorageType, FilesystemType, AccessCapability;
    uint64_t MaxCapacity, FreeSpaceInBytes, FreeSpaceInObjects;
    char *StorageDescription, *VolumeIdentifier;
    struct LIBMTP_devicestorage_struct *next, *prev;
} LIBMTP_devicestorage_t;

typedef struct LIBMTP_mtpdevice_struct {
    uint8_t object_bitsize;
    void *params, *usbinfo;
    LIBMTP_devicestorage_t *storage;
    LIBMTP_error_t *errorstack;
    uint8_t maximum_battery_level;
    uint32_t default_music_folder, default_playlist_folder, default_picture_folder;
    uint32_t default_video_folder, default_organizer_folder, default_zencast_folder;
    uint32_t default_album_folder, default_text_folder;
    void *cd;
    LIBMTP_device_extension_t *extensions;
    int cached;
    struct LIBMTP_mtpdevice_struct *next;
} LIBMTP_mtpdevice_t;

typedef struct LIBMTP_file_struct {
    uint32_t item_id, parent_id, storage_id;
    char *filename;
    uint64_t filesize;
    time_t modificationdate;
    LIBMTP_filetype_t filetype;
    struct LIBMTP_file_struct *next;
} LIBMTP_file_t;

typedef struct LIBMTP_folder_struct {
    uint32_t folder_id, parent_id, storage_id;
    char *name;
    struct LIBMTP_folder_struct *sibling, *child;
} LIBMTP_folder_t;

typedef int (*LIBMTP_progressfunc_t)(uint64_t const, uint64_t const, void const *const);
typedef uint16_t (*MTPDataGetFunc)(void *, void *, uint32_t, unsigned char *, uint32_t *);
typedef uint16_t (*MTPDataPutFunc)(void *, void *, uint32_t, unsigned char *, uint32_t *);

void LIBMTP_Init(void);
void LIBMTP_Set_Debug(int);
LIBMTP_error_number_t LIBMTP_Detect_Raw_Devices(LIBMTP_raw_device_t **, int *);
int LIBMTP_Check_Specific_Device(int, int);
LIBMTP_mtpdevice_t *LIBMTP_Open_Raw_Device(LIBMTP_raw_device_t *);
LIBMTP_mtpdevice_t *LIBMTP_Open_Raw_Device_Uncached(LIBMTP_raw_device_t *);
void LIBMTP_Release_Device(LIBMTP_mtpdevice_t *);
int LIBMTP_Reset_Device(LIBMTP_mtpdevice_t *);
char *LIBMTP_Get_Manufacturername(LIBMTP_mtpdevice_t *);
char *LIBMTP_Get_Modelname(LIBMTP_mtpdevice_t *);
char *LIBMTP_Get_Serialnumber(LIBMTP_mtpdevice_t *);
char *LIBMTP_Get_Deviceversion(LIBMTP_mtpdevice_t *);
char *LIBMTP_Get_Friendlyname(LIBMTP_mtpdevice_t *);
int LIBMTP_Get_Batterylevel(LIBMTP_mtpdevice_t *, uint8_t *const, uint8_t *const);
int LIBMTP_Check_Capability(LIBMTP_mtpdevice_t *, LIBMTP_devicecap_t);
LIBMTP_error_t *LIBMTP_Get_Errorstack(LIBMTP_mtpdevice_t *);
void LIBMTP_Clear_Errorstack(LIBMTP_mtpdevice_t *);
void LIBMTP_Dump_Errorstack(LIBMTP_mtpdevice_t *);
int LIBMTP_Get_Storage(LIBMTP_mtpdevice_t *, int const);
char *LIBMTP_Get_String_From_Object(LIBMTP_mtpdevice_t *, uint32_t const, LIBMTP_property_t const);
uint64_t LIBMTP_Get_u64_From_Object(LIBMTP_mtpdevice_t *, uint32_t const, LIBMTP_property_t const,
                                    uint64_t const);
int LIBMTP_Set_Object_String(LIBMTP_mtpdevice_t *, uint32_t const, LIBMTP_property_t const,
                             char const *const);
LIBMTP_file_t *LIBMTP_new_file_t(void);
void LIBMTP_destroy_file_t(LIBMTP_file_t *);
LIBMTP_file_t *LIBMTP_Get_Files_And_Folders(LIBMTP_mtpdevice_t *, uint32_t const, uint32_t const);
LIBMTP_file_t *LIBMTP_Get_Filemetadata(LIBMTP_mtpdevice_t *, uint32_t const);
int LIBMTP_Get_File_To_File(LIBMTP_mtpdevice_t *, uint32_t, char const *const,
                            LIBMTP_progressfunc_t const, void const *const);
int LIBMTP_Get_File_To_File_Descriptor(LIBMTP_mtpdevice_t *, uint32_t const, int const,
                                       LIBMTP_progressfunc_t const, void const *const);
int LIBMTP_Get_File_To_Handler(LIBMTP_mtpdevice_t *, uint32_t const, MTPDataPutFunc, void *,
                               LIBMTP_progressfunc_t const, void const *const);
int LIBMTP_Send_File_From_File(LIBMTP_mtpdevice_t *, char const *const, LIBMTP_file_t *const,
                               LIBMTP_progressfunc_t const, void const *const);
int LIBMTP_Send_File_From_File_Descriptor(LIBMTP_mtpdevice_t *, int const, LIBMTP_file_t *const,
                                          LIBMTP_progressfunc_t const, void const *const);
int LIBMTP_Send_File_From_Handler(LIBMTP_mtpdevice_t *, MTPDataGetFunc, void *,
                                  LIBMTP_file_t *const, LIBMTP_progressfunc_t const,
                                  void const *const);
int LIBMTP_Set_File_Name(LIBMTP_mtpdevice_t *, LIBMTP_file_t *, const char *);
LIBMTP_folder_t *LIBMTP_new_folder_t(void);
void LIBMTP_destroy_folder_t(LIBMTP_folder_t *);
uint32_t LIBMTP_Create_Folder(LIBMTP_mtpdevice_t *, char *, uint32_t, uint32_t);
int LIBMTP_Set_Folder_Name(LIBMTP_mtpdevice_t *, LIBMTP_folder_t *, const char *);
int LIBMTP_Delete_Object(LIBMTP_mtpdevice_t *, uint32_t);
int LIBMTP_Move_Object(LIBMTP_mtpdevice_t *, uint32_t, uint32_t, uint32_t);
int LIBMTP_Copy_Object(LIBMTP_mtpdevice_t *, uint32_t, uint32_t, uint32_t);
int LIBMTP_Set_Object_Filename(LIBMTP_mtpdevice_t *, uint32_t, char *);
int LIBMTP_GetPartialObject(LIBMTP_mtpdevice_t *, uint32_t const, uint64_t, uint32_t,
                            unsigned char **, unsigned int *);
int LIBMTP_Read_Event(LIBMTP_mtpdevice_t *, LIBMTP_event_t *, uint32_t *);
int LIBMTP_Custom_Operation(LIBMTP_mtpdevice_t *, uint16_t, int, ...);

#endif
