/* More of the order in which a session is set up: what has to lie within what. Run without us. */
#include "attack.h"
#include <pthread.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

static pid_t fork_into(int namespaces)
{
	return (pid_t)syscall(SYS_clone, namespaces | SIGCHLD, 0, 0, 0, 0);
}

static int mount_proc(const char *at)
{
	return mount("proc", at, "proc", 0, NULL);
}

/* Changes the root as a session does; in it `/proc` is mounted before the old one goes, or after. */
static int change_root(int is_after)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("tmpfs", "/tmp", "tmpfs", 0, NULL) ||
	    mkdir("/tmp/proc", 0755) || mkdir("/tmp/old", 0755))
		return -1;
	if (!is_after && mount_proc("/tmp/proc"))
		return -1;
	if (syscall(SYS_pivot_root, "/tmp", "/tmp/old") || chdir("/") || umount2("/old", MNT_DETACH))
		return -1;
	return is_after ? mount_proc("/proc") : 0;
}

static long with_proc(int is_after)
{
	int status;

	if (user_namespace(CLONE_NEWNS | CLONE_NEWPID))
		return -1;
	pid_t child = fork();
	if (child == 0)
		_exit(change_root(is_after) ? errno : 0);
	waitpid(child, &status, 0);
	errno = WEXITSTATUS(status);
	return errno ? -1 : 0;
}

static long proc_after_the_old_root(void)
{
	return with_proc(1);
}

static long proc_before_the_old_root(void)
{
	return with_proc(0);
}

static int mounts(void)
{
	int file = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC), lines = 0;
	char bytes[4096];

	for (ssize_t length; (length = read(file, bytes, sizeof bytes)) > 0;)
		for (ssize_t i = 0; i < length; i++)
			lines += bytes[i] == '\n';
	close(file);
	return lines;
}

/* Mounts in a namespace made of one that shares its mounts: for the same user, or for one below. */
static long mount_for_others(int is_below)
{
	int status;

	if (user_namespace(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL))
		return -2;
	int before = mounts();
	pid_t child = fork();
	if (child == 0)
		_exit((is_below ? user_namespace(CLONE_NEWNS) : unshare(CLONE_NEWNS)) ||
		      mount("tmpfs", "/tmp", "tmpfs", 0, NULL));
	waitpid(child, &status, 0);
	errno = EEXIST;
	return status ? -2 : mounts() == before ? 0 : -1;
}

static long mount_as_the_same_user(void)
{
	return mount_for_others(0);
}

static long mount_as_a_user_below(void)
{
	return mount_for_others(1);
}

static int namespace_of(pid_t process, const char *name)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/ns/%s", process, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Joins a pid namespace of this user namespace, and a user namespace below it. */
static long join(int user_first)
{
	int lifeline[2];
	char byte;

	if (user_namespace(0) || pipe(lifeline))
		return -2;
	int kinds[] = { CLONE_NEWPID, CLONE_NEWUSER };
	pid_t children[2];
	for (int i = 0; i < 2; i++) {
		children[i] = fork_into(kinds[i]);
		if (children[i] == 0) {
			close(lifeline[1]);
			_exit(read(lifeline[0], &byte, 1) != 0);
		}
	}
	int processes = namespace_of(children[0], "pid"), users = namespace_of(children[1], "user");
	if (processes < 0 || users < 0)
		return -2;
	if (user_first)
		return setns(users, CLONE_NEWUSER) ? -2 : setns(processes, CLONE_NEWPID);
	return setns(processes, CLONE_NEWPID) ? -1 : setns(users, CLONE_NEWUSER);
}

static long processes_after_the_user(void)
{
	return join(1);
}

static long processes_before_the_user(void)
{
	return join(0);
}

/* wait_closed NUMBER: closes itself to readers, says so at this descriptor, and waits to be ended. */
int wait_closed(int argc, char **argv)
{
	(void)argc;
	prctl(PR_SET_DUMPABLE, 0);
	if (write((int)number(argv[0]), "r", 1) == 1)
		pause();
	return 0;
}

/* Traces, without a capability, a program that closed itself: in this user namespace, or in one below it. */
static long trace_closed(int namespaces)
{
	int ready[2];
	char byte, name[16];

	if (user_namespace(0) || pipe(ready))
		return -2;
	snprintf(name, sizeof name, "%d", ready[1]);
	pid_t child = fork_into(namespaces);
	if (child == 0) {
		execl("/proc/self/exe", "attack", "wait_closed", name, NULL);
		_exit(1);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1 || no_capabilities())
		return -2;
	long result = ptrace(PTRACE_SEIZE, child, 0, 0);
	int error = errno;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	errno = error;
	return result;
}

static long trace_beside(void)
{
	return trace_closed(0);
}

static long trace_below(void)
{
	return trace_closed(CLONE_NEWUSER);
}

static int released[2];

static void *make_directory(void *result)
{
	char byte;

	if (read(released[0], &byte, 1) == 1)
		*(int *)result = mkdir("made-by-a-thread", 0755) ? errno : 0;
	return NULL;
}

/* Makes a directory from a thread that was started before its process entered a domain, or after. */
static long thread_made(int is_before)
{
	pthread_t thread;
	int result = EINVAL;

	if (pipe(released) || (!is_before && domain()) ||
	    pthread_create(&thread, NULL, make_directory, &result) || (is_before && domain()) ||
	    write(released[1], "r", 1) != 1)
		return -2;
	pthread_join(thread, NULL);
	rmdir("made-by-a-thread");
	errno = result;
	return result ? -1 : 0;
}

static long thread_before_the_domain(void)
{
	return thread_made(1);
}

static long thread_after_the_domain(void)
{
	return thread_made(0);
}

int nesting(int argc, char **argv)
{
	(void)argc, (void)argv;
	in_child("proc-after-the-old-root", proc_after_the_old_root);
	in_child("neighbour-proc-before-the-old-root", proc_before_the_old_root);
	in_child("mount-for-the-same-user", mount_as_the_same_user);
	in_child("neighbour-mount-for-a-user-below", mount_as_a_user_below);
	in_child("processes-after-the-user", processes_after_the_user);
	in_child("neighbour-processes-before-the-user", processes_before_the_user);
	in_child("trace-closed-in-one-namespace", trace_beside);
	in_child("neighbour-trace-closed-below", trace_below);
	in_child("thread-before-the-domain", thread_before_the_domain);
	in_child("neighbour-thread-after-the-domain", thread_after_the_domain);
	return 0;
}
