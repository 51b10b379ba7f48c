/* The order in which a session is set up, and what the kernel answers to others. Run without us: these are
 * facts about the kernel that our order rests on. */
#include "attack.h"
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

void in_child(const char *what, long (*step)(void))
{
	pid_t child;
	int status;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		tell(what, step());
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, &status, 0);
}

static long write_line(const char *file, const char *line)
{
	int opened = open(file, O_WRONLY | O_CLOEXEC);
	long length = (long)strlen(line), written = opened < 0 ? -1 : write(opened, line, (size_t)length);

	if (opened >= 0)
		close(opened);
	return written == length ? 0 : -1;
}

long user_namespace(int more)
{
	char users[64], groups[64];

	snprintf(users, sizeof users, "%u %u 1", getuid(), getuid());
	snprintf(groups, sizeof groups, "%u %u 1", getgid(), getgid());
	if (unshare(CLONE_NEWUSER | more) || write_line("/proc/self/uid_map", users))
		return -1;
	return write_line("/proc/self/setgroups", "deny") || write_line("/proc/self/gid_map", groups) ? -1 : 0;
}

static long map_after_closing(void)
{
	prctl(PR_SET_DUMPABLE, 0);
	return user_namespace(0);
}

static long map_before_closing(void)
{
	long result = user_namespace(0);

	prctl(PR_SET_DUMPABLE, 0);
	return result;
}

long no_capabilities(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2] = { { 0 } };

	return syscall(SYS_capset, &header, none);
}

static long map_without_capabilities(void)
{
	if (no_capabilities())
		return -2;
	return user_namespace(0);
}

static int idle(void *nothing)
{
	(void)nothing;
	syscall(SYS_exit, 0);
	return 0;
}

static long thread(void)
{
	static char stack[65536];
	int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;

	return clone(idle, stack + sizeof stack, flags, NULL) < 0 ? -1 : 0;
}

static long thread_after_unshare(void)
{
	if (user_namespace(CLONE_NEWPID))
		return -1;
	return thread();
}

long domain(void)
{
	struct landlock_ruleset_attr handled = { .handled_access_fs = LANDLOCK_ACCESS_FS_MAKE_DIR };
	int rules = syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0);

	if (rules < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return syscall(SYS_landlock_restrict_self, rules, 0);
}

static long mount_it(void)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -1;
	return mount("tmpfs", "/tmp", "tmpfs", 0, NULL);
}

static long mount_after_domain(void)
{
	if (user_namespace(CLONE_NEWNS) || domain())
		return -2;
	return mount_it();
}

static long mount_before_domain(void)
{
	if (user_namespace(CLONE_NEWNS) || mount_it())
		return -1;
	return domain();
}

/* Traces a child that made the same domain by itself, or that inherited it and went deeper. */
static long trace(int inherits)
{
	int ready[2];
	char byte;
	pid_t child;
	long result;
	int error;

	if (pipe(ready) || (inherits && domain()))
		return -2;
	child = fork();
	if (child == 0) {
		if (domain() == 0 && write(ready[1], "r", 1) == 1)
			pause();
		_exit(1);
	}
	if (read(ready[0], &byte, 1) != 1 || (!inherits && domain()))
		return -2;
	result = ptrace(PTRACE_SEIZE, child, 0, 0);
	error = errno;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	errno = error;
	return result;
}

static long trace_beside(void)
{
	return trace(0);
}

static long trace_nested(void)
{
	return trace(1);
}

/* Opens what only a process that can be looked at shows. */
static long namespaces_of(int is_closed)
{
	int ready[2];
	char byte, path[64];
	pid_t child;
	int opened, error;

	if (pipe(ready))
		return -2;
	child = fork();
	if (child == 0) {
		if (is_closed)
			prctl(PR_SET_DUMPABLE, 0);
		if (write(ready[1], "r", 1) == 1)
			pause();
		_exit(1);
	}
	if (read(ready[0], &byte, 1) != 1)
		return -2;
	snprintf(path, sizeof path, "/proc/%d/ns/pid", child);
	opened = open(path, O_RDONLY | O_CLOEXEC);
	error = errno;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	errno = error;
	return opened < 0 ? -1 : 0;
}

static long namespaces_after_closing(void)
{
	return namespaces_of(1);
}

static long namespaces_before_closing(void)
{
	return namespaces_of(0);
}

/* Signals a child that is in no domain, from one that keeps signals in. */
static long signal_out_of(int is_scoped)
{
	/* Fields of Linux 6.12 that older headers lack: files, network, scopes. */
	uint64_t handled[3] = { 0, 0, 2 };
	int lifeline[2], rules, error;
	char byte;
	pid_t child;
	long result;

	if (pipe(lifeline))
		return -2;
	child = fork();
	if (child == 0) {
		/* Not by a signal at its parent's death: a scope keeps that in as well. */
		close(lifeline[1]);
		_exit(read(lifeline[0], &byte, 1) != 0);
	}
	if (is_scoped) {
		rules = syscall(SYS_landlock_create_ruleset, handled, sizeof handled, 0);
		if (rules < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		    syscall(SYS_landlock_restrict_self, rules, 0))
			return -2;
	}
	result = kill(child, SIGKILL);
	error = errno;
	/* Where it lives on, it ends when our end of its lifeline does. */
	if (result == 0)
		waitpid(child, NULL, 0);
	errno = error;
	return result;
}

static long signal_from_a_scope(void)
{
	return signal_out_of(1);
}

static long signal_without_a_scope(void)
{
	return signal_out_of(0);
}

int orders(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	in_child("maps-after-closing", map_after_closing);
	in_child("neighbour-maps-before-closing", map_before_closing);
	in_child("maps-without-capabilities", map_without_capabilities);
	in_child("thread-after-unshare", thread_after_unshare);
	in_child("neighbour-thread", thread);
	in_child("mount-after-domain", mount_after_domain);
	in_child("neighbour-mount-before-domain", mount_before_domain);
	in_child("namespaces-after-closing", namespaces_after_closing);
	in_child("neighbour-namespaces-before-closing", namespaces_before_closing);
	in_child("signal-from-a-scope", signal_from_a_scope);
	in_child("neighbour-signal-without-a-scope", signal_without_a_scope);
	in_child("trace-a-domain-beside", trace_beside);
	in_child("neighbour-trace-a-domain-below", trace_nested);
	return 0;
}
