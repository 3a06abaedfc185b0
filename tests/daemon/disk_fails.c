/* A disk that fails when it is told to: LD_PRELOAD=disk_fails.so DISK_FAILS_BELOW=FOLDER DISK_FAILS_FLAG=FILE.
 *
 * While FILE is there and says "fsync 5" or "write 28", every fsync or write of files below FOLDER fails with that errno
 * (5 is EIO, 28 ENOSPC, 30 EROFS). Everything else goes its way.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* The errno that the call on this descriptor must fail with, or 0. */
static int failure(int fd, const char *call)
{
    const char *below = getenv("DISK_FAILS_BELOW"), *flag = getenv("DISK_FAILS_FLAG");
    char link[64], path[PATH_MAX], text[64] = "", name[32];
    int kept = errno, number = 0, file;
    ssize_t length;

    if (!below || !flag || (file = open(flag, O_RDONLY | O_CLOEXEC)) < 0) {
        errno = kept;
        return 0;
    }
    length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0 || sscanf(text, "%31s %d", name, &number) != 2 || strcmp(name, call) != 0)
        number = 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        length = 0;
    path[length] = 0;
    if (strncmp(path, below, strlen(below)) != 0)
        number = 0;
    errno = kept;
    return number;
}

#define FAILING(type, name, call, parameters, arguments)         \
    type name parameters                                         \
    {                                                            \
        type (*real) parameters = dlsym(RTLD_NEXT, #name);       \
        int number = failure(fd, call);                          \
        if (number) {                                            \
            errno = number;                                      \
            return -1;                                           \
        }                                                        \
        return real arguments;                                   \
    }

FAILING(int, fsync, "fsync", (int fd), (fd))
FAILING(int, fdatasync, "fsync", (int fd), (fd))
FAILING(ssize_t, write, "write", (int fd, const void *data, size_t size), (fd, data, size))
FAILING(ssize_t, pwrite, "write", (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
FAILING(ssize_t, pwrite64, "write", (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
FAILING(ssize_t, writev, "write", (int fd, const struct iovec *parts, int count), (fd, parts, count))
FAILING(int, ftruncate, "write", (int fd, off_t size), (fd, size))
FAILING(int, ftruncate64, "write", (int fd, off64_t size), (fd, size))
