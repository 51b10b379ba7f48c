/* Files that are not the agent's. */
#include "attack.h"
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <linux/fs.h>

/* A path below a directory. */
static const char *in(const char *directory, const char *name)
{
	static char paths[8][4200];
	static int next;
	char *path = paths[next++ % 8];
	snprintf(path, sizeof paths[0], "%s/%s", directory, name);
	return path;
}

static long once(int descriptor)
{
	if (descriptor >= 0)
		close(descriptor);
	return descriptor;
}

static long put(int descriptor)
{
	if (descriptor < 0)
		return -1;
	long written = write(descriptor, "changed", 7);
	close(descriptor);
	return written;
}

static long tmpfile_into(const char *directory)
{
	char own[64];
	int file = open(directory, O_TMPFILE | O_WRONLY, 0644);
	if (file < 0)
		return -1;
	snprintf(own, sizeof own, "/proc/self/fd/%d", file);
	long linked = linkat(AT_FDCWD, own, AT_FDCWD, in(directory, "unnamed"), AT_SYMLINK_FOLLOW);
	close(file);
	return linked;
}

static long set_flags(const char *path)
{
	int flags = 0, file = open(path, O_RDONLY | O_NONBLOCK);
	if (file < 0)
		return -1;
	long got = ioctl(file, FS_IOC_GETFLAGS, &flags);
	flags |= FS_NOATIME_FL;
	long set = got < 0 ? got : ioctl(file, FS_IOC_SETFLAGS, &flags);
	close(file);
	return set;
}

/* files DIRECTORY: tries to change each file in it, each in another way. The current directory is ours. */
int files(int argc, char **argv)
{
	(void)argc;
	const char *there = argv[0];
	struct timespec times[2] = { { 1, 0 }, { 1, 0 } };
	put(open("moved-in", O_CREAT | O_WRONLY, 0644));
	put(open("linked-in", O_CREAT | O_WRONLY, 0644));
	put(open("exchanged-in", O_CREAT | O_WRONLY, 0644));
	tell("create", put(open(in(there, "created"), O_CREAT | O_WRONLY, 0644)));
	tell("write", put(open(in(there, "written"), O_WRONLY)));
	tell("append", put(open(in(there, "appended"), O_WRONLY | O_APPEND)));
	tell("truncate", truncate(in(there, "truncated"), 0));
	tell("open-truncate", once(open(in(there, "truncated-on-open"), O_RDONLY | O_TRUNC)));
	tell("unlink", unlink(in(there, "unlinked")));
	tell("rename", rename(in(there, "renamed"), in(there, "renamed-to")));
	tell("rename-in", rename("moved-in", in(there, "moved-in")));
	tell("rename-out", rename(in(there, "moved-out"), "moved-out"));
	tell("exchange", syscall(SYS_renameat2, AT_FDCWD, in(there, "exchanged"), AT_FDCWD, "exchanged-in",
				 RENAME_EXCHANGE));
	tell("link-in", link("linked-in", in(there, "linked-in")));
	tell("link-out", link(in(there, "linked-out"), "linked-out"));
	tell("symlink", symlink("/etc/passwd", in(there, "symlinked")));
	tell("mkdir", mkdir(in(there, "made"), 0755));
	tell("rmdir", rmdir(in(there, "directory")));
	tell("mkfifo", mkfifo(in(there, "fifo"), 0644));
	tell("tmpfile", tmpfile_into(there));
	tell("chmod", chmod(in(there, "mode"), 0600));
	tell("fchmodat2", syscall(452, AT_FDCWD, in(there, "mode2"), 0600, 0));
	tell("chown", chown(in(there, "owner"), getuid(), getgid()));
	tell("utimes", utimensat(AT_FDCWD, in(there, "times"), times, 0));
	tell("setxattr", setxattr(in(there, "attribute"), "user.agent", "x", 1, 0));
	tell("setflags", set_flags(in(there, "flags")));
	return 0;
}

static long show(const char *path)
{
	char text[512];
	int file = open(path, O_RDONLY | O_NONBLOCK);
	if (file < 0)
		return -1;
	long length = read(file, text, sizeof text - 1);
	if (length > 0) {
		text[length] = 0;
		printf("read: %s\n", text);
	}
	close(file);
	return length;
}

/* reads PATH...: tries to read each, and to learn of it. */
int reads(int argc, char **argv)
{
	struct stat stat_;
	for (int i = 0; i < argc; i++) {
		char what[4300];
		snprintf(what, sizeof what, "read:%s", argv[i]);
		tell(what, show(argv[i]));
		snprintf(what, sizeof what, "stat:%s", argv[i]);
		tell(what, lstat(argv[i], &stat_));
	}
	return 0;
}

/* pins: tries to plant what somebody runs later, in the workspace it stands in. */
int pins(int argc, char **argv)
{
	(void)argc, (void)argv;
	put(open("planted", O_CREAT | O_WRONLY, 0755));
	mkdir("replacement", 0755);
	tell("hook-create", put(open(".git/hooks/pre-commit", O_CREAT | O_WRONLY, 0755)));
	tell("hook-write", put(open(".git/hooks/post-merge", O_WRONLY)));
	tell("hook-rename-in", rename("planted", ".git/hooks/pre-push"));
	tell("hook-link-in", link("planted", ".git/hooks/pre-rebase"));
	tell("hook-symlink", symlink("../../planted", ".git/hooks/pre-receive"));
	tell("hook-link-out", link(".git/hooks/post-merge", "hook"));
	tell("hook-rename-out", rename(".git/hooks/post-merge", "hook"));
	tell("hook-chmod", chmod(".git/hooks/post-merge", 0755));
	tell("hook-unlink", unlink(".git/hooks/post-merge"));
	tell("config-write", put(open(".git/config", O_WRONLY | O_APPEND)));
	tell("config-rename", rename("planted", ".git/config"));
	tell("config-unlink", unlink(".git/config"));
	tell("hooks-rename", rename(".git/hooks", "hooks"));
	tell("git-rename", rename(".git", "git"));
	tell("git-exchange",
	     syscall(SYS_renameat2, AT_FDCWD, ".git", AT_FDCWD, "replacement", RENAME_EXCHANGE));
	tell("workflow-create", put(open(".github/workflows/x.yml", O_CREAT | O_WRONLY, 0644)));
	tell("workflow-write", put(open(".github/workflows/ci.yml", O_WRONLY)));
	tell("github-rename", rename(".github", "github"));
	tell("through-proc", put(open("/proc/self/cwd/.git/hooks/post-merge", O_WRONLY)));
	tell("through-root", put(open(in(in("/proc/self/root", getcwd(NULL, 0)), ".git/config"), O_WRONLY)));
	tell("neighbour", put(open(".git/description", O_CREAT | O_WRONLY, 0644)));
	tell("neighbour-github", put(open(".github/README", O_CREAT | O_WRONLY, 0644)));
	return 0;
}

/* at_descriptor N: what can be done from a directory that was left open under a number. */
int at_descriptor(int argc, char **argv)
{
	(void)argc;
	int directory = (int)number(argv[0]);
	struct timespec times[2] = { { 1, 0 }, { 1, 0 } };
	tell("read", once(openat(directory, "secret", O_RDONLY)));
	tell("write", put(openat(directory, "written", O_WRONLY)));
	tell("create", put(openat(directory, "created", O_CREAT | O_WRONLY, 0644)));
	tell("unlink", unlinkat(directory, "unlinked", 0));
	tell("chmod", fchmodat(directory, "mode", 0600, 0));
	tell("utimes", utimensat(directory, "times", times, 0));
	tell("own-mode", fchmod(directory, 0700));
	tell("enter", fchdir(directory));
	return 0;
}

/* descriptors: which are open beyond the first three. */
int descriptors(int argc, char **argv)
{
	(void)argc, (void)argv;
	for (int i = 3; i < 1024; i++)
		if (fcntl(i, F_GETFD) >= 0)
			printf("open %d\n", i);
	return 0;
}

/* set_user_id FILE: by every call that gives a file a mode. */
int set_user_id(int argc, char **argv)
{
	(void)argc;
	const char *file = argv[0];
	int opened = open(file, O_RDONLY);
	int here = open(".", O_RDONLY | O_DIRECTORY);
	struct {
		uint64_t flags, mode, resolve;
	} how = { O_CREAT | O_WRONLY, 04755, 0 };
	tell("neighbour", chmod(file, 0755));
	tell("neighbour-set-group-id", fchmod(here, 02755));
	tell("chmod", chmod(file, 04755));
	tell("fchmod", fchmod(opened, 06755));
	tell("fchmodat", syscall(SYS_fchmodat, here, file, 04755));
	tell("fchmodat2", syscall(452, here, file, 04755, 0));
	tell("open", open("opened", O_CREAT | O_WRONLY, 04755));
	tell("openat", openat(here, "opened", O_CREAT | O_WRONLY | O_TRUNC, 04755));
	tell("temporary", open(".", O_TMPFILE | O_WRONLY, 04755));
	tell("mknod", mknodat(here, "made", S_IFREG | 04755, 0));
	tell("openat2", syscall(437, here, "opened", &how, sizeof how));
#ifdef SYS_open
	tell("old-open", syscall(SYS_open, "opened", O_CREAT | O_WRONLY, 04755));
	tell("old-creat", syscall(SYS_creat, "opened", 04755));
	tell("old-chmod", syscall(SYS_chmod, file, 04755));
	tell("old-mknod", syscall(SYS_mknod, "made", S_IFREG | 04755, 0));
#endif
	return 0;
}
