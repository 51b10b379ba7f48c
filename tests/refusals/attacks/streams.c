#include "attack.h"

#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <termios.h>

#define FORGED "forged"

/* standard N: what the owner of a file can do by a descriptor of it, here of a standard stream. What is told is
 * told on another. */
int standard(int argc, char **argv)
{
	struct timespec old[2] = { { 1, 0 }, { 1, 0 } };
	struct timeval at_once = { .tv_usec = 1 };
	struct termios modes;
	int flags = FS_NODUMP_FL | FS_NOATIME_FL;
	int it = argc > 0 ? dup((int)number(argv[0])) : -1;
	char name[64];

	snprintf(name, sizeof name, "/proc/self/fd/%d", it);
	tell("anew", open(name, O_WRONLY | O_TRUNC | O_NONBLOCK));
	tell("emptied", ftruncate(it, 1));
	tell("overwritten-at-once", pwrite(it, FORGED, sizeof FORGED - 1, 0));
	tell("not-appending", fcntl(it, F_SETFL, O_NONBLOCK));
	tell("overwritten", pwrite(it, FORGED, sizeof FORGED - 1, 0));
	tell("hole", fallocate(it, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
	tell("mode", fchmod(it, 0777));
	tell("times", futimens(it, old));
	tell("attribute", fsetxattr(it, "user.agent", "x", 1, 0));
	tell("flags", ioctl(it, FS_IOC_SETFLAGS, &flags));
	tell("lock", flock(it, LOCK_EX | LOCK_NB));
	tell("back", lseek(it, 0, SEEK_SET));
	tell("impatient", setsockopt(it, SOL_SOCKET, SO_RCVTIMEO, &at_once, sizeof at_once));
	tell("shut", shutdown(it, SHUT_RDWR));
	if (tcgetattr(it, &modes) == 0) {
		cfmakeraw(&modes);
		tell("raw", tcsetattr(it, TCSANOW, &modes));
	}
	return 0;
}
