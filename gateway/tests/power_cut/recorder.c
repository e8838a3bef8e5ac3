/* Records what a process writes and syncs in one folder, so that a power cut can be played at any point of it.
 *
 * Loaded by LD_PRELOAD. POWER_CUT_FOLDER names the folder; everything goes in order to the file POWER_CUT_TRACE:
 *   u8 kind | u8 length of the name | name | i64 offset or size | u32 length | bytes
 * kinds: 'w' written, 't' cut to a size, 's' synced, 'u' unlinked, 'a' acknowledged (what goes to the file `ack`).
 * Only what SQLite uses is here; -shm is left out: it is made anew after a power cut.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* The name within the folder, "." for itself; 0 for other files. */
static int named(int fd, char *name) {
    static const char *folder;
    char link[64], path[4096];
    if (!folder && !(folder = getenv("POWER_CUT_FOLDER"))) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    size_t head = strlen(folder);
    if (!strcmp(path, folder)) return strcpy(name, "."), 1;
    if (strncmp(path, folder, head) || path[head] != '/') return 0;
    const char *rest = path + head + 1;
    if (strchr(rest, '/') || strlen(rest) > 200 || strstr(rest, "-shm")) return 0;
    strcpy(name, rest);
    return 1;
}

static void put(char kind, const char *name, int64_t at, const void *data, uint32_t length) {
    pthread_mutex_lock(&lock);
    if (trace < 0)
        trace = REAL(open)(getenv("POWER_CUT_TRACE"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    char head[256];
    size_t size = strlen(name), used = 0;
    head[used++] = kind;
    head[used++] = (char)size;
    memcpy(head + used, name, size), used += size;
    memcpy(head + used, &at, 8), used += 8;
    memcpy(head + used, &length, 4), used += 4;
    ssize_t done = REAL(write)(trace, head, used);
    if (length) done = REAL(write)(trace, data, length);
    (void)done;
    pthread_mutex_unlock(&lock);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) {
    char name[256];
    ssize_t done = REAL(pwrite64)(fd, data, length, at);
    if (done > 0 && named(fd, name)) put('w', name, at, data, (uint32_t)done);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return pwrite64(fd, data, length, at); }

ssize_t write(int fd, const void *data, size_t length) {
    char name[256];
    if (fd == trace || !named(fd, name)) return REAL(write)(fd, data, length);
    off64_t at = lseek64(fd, 0, SEEK_CUR);
    ssize_t done = REAL(write)(fd, data, length);
    if (done > 0) put(strcmp(name, "ack") ? 'w' : 'a', name, at, data, (uint32_t)done);
    return done;
}

int ftruncate64(int fd, off64_t size) {
    char name[256];
    int result = REAL(ftruncate64)(fd, size);
    if (!result && named(fd, name)) put('t', name, size, 0, 0);
    return result;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int synced(int fd, int result) {
    char name[256];
    if (!result && named(fd, name)) put('s', name, 0, 0, 0);
    return result;
}

int fsync(int fd) { return synced(fd, REAL(fsync)(fd)); }
int fdatasync(int fd) { return synced(fd, REAL(fdatasync)(fd)); }

int unlink(const char *path) {
    const char *folder = getenv("POWER_CUT_FOLDER");
    size_t head = folder ? strlen(folder) : 0;
    int result = REAL(unlink)(path);
    if (!result && head && !strncmp(path, folder, head) && path[head] == '/' && !strstr(path, "-shm"))
        put('u', path + head + 1, 0, 0, 0);
    return result;
}
