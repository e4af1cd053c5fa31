/* Preloaded into a process, this makes each of its fsyncs wait 20 ms, as on a slow or busy disk. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>

static void wait(void) { usleep(20000); }

int fsync(int fd)
{
    static int (*real)(int);
    if (!real) real = (int (*)(int)) dlsym(RTLD_NEXT, "fsync");
    wait();
    return real(fd);
}

int fdatasync(int fd)
{
    static int (*real)(int);
    if (!real) real = (int (*)(int)) dlsym(RTLD_NEXT, "fdatasync");
    wait();
    return real(fd);
}
