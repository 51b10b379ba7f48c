#include "attack.h"

#include <linux/fs.h>
#include <poll.h>
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

/* Keeps what comes by standard input until `end` is there. */
static void steal(void)
{
	struct pollfd one = { .fd = 0, .events = POLLIN };
	int stolen = open("stolen", O_WRONLY | O_CREAT | O_APPEND, 0644);
	char bytes[256];

	alarm(60);
	while (access("end", F_OK) != 0) {
		ssize_t length = poll(&one, 1, 20) > 0 ? read(0, bytes, sizeof bytes) : 0;
		if (length > 0 && write(stolen, bytes, (size_t)length) < 0)
			exit(1);
	}
	exit(0);
}

static void turn(void)
{
	struct winsize size = { .ws_row = 7, .ws_col = 7 };
	struct termios modes;

	tell("modes", tcgetattr(0, &modes));
	cfmakeraw(&modes);
	tell("raw", tcsetattr(0, TCSANOW, &modes));
	tell("size", ioctl(0, TIOCSWINSZ, &size));
}

/* unborn: its group is stopped, as by a key, while it waits for a child that is no program yet. */
int unborn(int argc, char **argv)
{
	pid_t child = vfork();

	(void)argc, (void)argv;
	if (child == 0) {
		kill(0, SIGTSTP);
		execl("/bin/true", "true", NULL);
		_exit(1);
	}
	tell("child", waitpid(child, NULL, 0));
	return 0;
}

/* behind WAY [stop]: has the terminal of others who are in front, or are to be once it was stopped. */
int behind(int argc, char **argv)
{
	const char *way = argc > 0 ? argv[0] : "";
	sigset_t held;
	int set_up[2];

	tell("pipe", pipe(set_up));
	fflush(stdout);
	if (fork() == 0) {
		sigemptyset(&held);
		sigaddset(&held, SIGTTIN);
		sigaddset(&held, SIGTTOU);
		sigprocmask(SIG_BLOCK, &held, NULL);
		if (strcmp(way, "apart") == 0)
			tell("apart", setsid());
		else
			tell("group", setpgid(0, 0));
		if (strcmp(way, "front") == 0)
			tell("front", tcsetpgrp(0, getpid()));
		if (strcmp(way, "modes") == 0)
			turn();
		fflush(stdout);
		close(set_up[0]);
		close(set_up[1]);
		/* Whoever turned the modes waits for the end alone. */
		if (strcmp(way, "modes") != 0)
			steal();
		while (access("end", F_OK) != 0)
			usleep(20000);
		exit(0);
	}
	close(set_up[1]);
	while (read(set_up[0], &held, 1) > 0)
		;
	close(open("ready", O_WRONLY | O_CREAT, 0644));
	if (argc > 1)
		kill(0, SIGSTOP);
	wait(NULL);
	return 0;
}
