/* Names at places that make others run code later. The current directory is the workspace, prepared by the
 * test: `n/` is empty, `old.git/` is a bare repository that was there before. */
#include "attack.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>

static long once(int descriptor)
{
	if (descriptor >= 0)
		close(descriptor);
	return descriptor;
}

static long make(const char *path)
{
	return once(open(path, O_CREAT | O_WRONLY | O_TRUNC, 0755));
}

static long directory(const char *path)
{
	long made = mkdir(path, 0755);
	return made < 0 && errno == EEXIST ? 0 : made;
}

static long nested(const char *name)
{
	char path[256];
	snprintf(path, sizeof path, "n/%s", name);
	directory(path);
	snprintf(path, sizeof path, "n/%s/.git", name);
	return directory(path);
}

static char *git_config(const char *name)
{
	static char paths[4][256];
	static int next;
	char *path = paths[next++ % 4];
	nested(name);
	snprintf(path, sizeof paths[0], "n/%s/.git/config", name);
	return path;
}

static long from_nothing(const char *to)
{
	char own[64];
	int file = open(".", O_TMPFILE | O_WRONLY, 0644);
	snprintf(own, sizeof own, "/proc/self/fd/%d", file);
	long linked = linkat(AT_FDCWD, own, AT_FDCWD, to, AT_SYMLINK_FOLLOW);
	int error = errno;
	close(file);
	errno = error;
	return linked;
}

static void by_each_call(void)
{
	make("source");
	tell("open", make(git_config("open")));
	tell("open-read", once(open(git_config("open-read"), O_CREAT | O_RDONLY, 0644)));
	tell("openat", once(openat(AT_FDCWD, git_config("openat"), O_CREAT | O_EXCL | O_RDWR, 0644)));
	tell("creat", once(syscall(SYS_creat, git_config("creat"), 0644)));
	tell("mknod", mknod(git_config("mknod"), S_IFREG | 0644, 0));
	tell("mknod-fifo", mknod(git_config("mknod-fifo"), S_IFIFO | 0644, 0));
	tell("symlink", symlink("../../source", git_config("symlink")));
	tell("symlinkat", symlinkat("../../source", AT_FDCWD, git_config("symlinkat")));
	tell("link", link("source", git_config("link")));
	tell("linkat", linkat(AT_FDCWD, "source", AT_FDCWD, git_config("linkat"), 0));
	tell("link-unnamed", from_nothing(git_config("link-unnamed")));
	make("moved");
	tell("rename", syscall(SYS_rename, "moved", git_config("rename")));
	tell("renameat", renameat(AT_FDCWD, "moved", AT_FDCWD, git_config("renameat")));
	make("n/taken");
	tell("exchange", renameat2(AT_FDCWD, "n/taken", AT_FDCWD, git_config("exchange"), RENAME_NOREPLACE));
}

static void by_each_path(void)
{
	char path[4200], here[3000];
	if (getcwd(here, sizeof here) == NULL)
		return;
	snprintf(path, sizeof path, "%s/%s", here, git_config("absolute"));
	tell("absolute", make(path));
	nested("odd");
	tell("odd", make(".//n/./odd/.git/../../odd/.git//config"));
	nested("descriptor");
	int at = open("n/descriptor/.git", O_PATH | O_DIRECTORY);
	tell("descriptor", once(openat(at, "config", O_CREAT | O_WRONLY, 0644)));
	snprintf(path, sizeof path, "/proc/self/fd/%d/config", at);
	tell("by-descriptor", make(path));
	snprintf(path, sizeof path, "/proc/%d/fd/%d/config", getpid(), at);
	tell("by-own-number", make(path));
	tell("by-directory", make("/proc/self/cwd/n/descriptor/.git/config"));
	tell("by-thread", make("/proc/thread-self/cwd/n/descriptor/.git/config"));
	snprintf(path, sizeof path, "/proc/self/root%s/n/descriptor/.git/config", here);
	tell("by-root", make(path));
	symlink("descriptor/.git", "n/leads");
	tell("linked-parent", make("n/leads/config"));
	symlink("descriptor/.git/config", "n/dangling");
	tell("dangling", make("n/dangling"));
	symlink("/proc/self/cwd/n/dangling", "n/round-about");
	tell("round-about", make("n/round-about"));
	tell("other-case", make("n/descriptor/.git/CONFIG"));
	if (chdir("n/descriptor/.git") == 0) {
		tell("within", make("config"));
		if (chdir("../../..") < 0)
			exit(1);
	}
	directory("n/deep");
	snprintf(path, sizeof path, "n/deep");
	for (int i = 0; i < 60; i++) {
		strcat(path, "/d");
		directory(path);
	}
	strcat(path, "/.git");
	directory(path);
	tell("deep", make(strcat(path, "/config")));
}

static void by_the_parent(void)
{
	directory("n/whole");
	make("n/whole/config");
	directory("n/a");
	tell("parent", rename("n/whole", "n/a/.git"));
	directory("n/hooks");
	make("n/hooks/post-merge");
	nested("b");
	tell("parent-hooks", rename("n/hooks", "n/b/.git/hooks"));
	directory("n/both");
	directory("n/both/hooks");
	make("n/both/hooks/post-merge");
	nested("c");
	tell("parent-exchanged", renameat2(AT_FDCWD, "n/c/.git", AT_FDCWD, "n/both", RENAME_EXCHANGE));
	tell("parent-exchanged-back", renameat2(AT_FDCWD, "n/both", AT_FDCWD, "n/c/.git", RENAME_EXCHANGE));
	directory("n/closed");
	directory("n/closed/hooks");
	make("n/closed/hooks/post-merge");
	chmod("n/closed/hooks", 0);
	directory("n/d");
	tell("parent-closed", rename("n/closed", "n/d/.git"));
	chmod("n/closed/hooks", 0755);
	chmod("n/d/.git/hooks", 0755);
	directory("n/e");
	tell("parent-linked", symlink("../whole", "n/e/.git"));
	nested("f");
	tell("hooks-linked", symlink("../../hooks", "n/f/.git/hooks"));
	directory("n/g");
	tell("git-file", make("n/g/.git"));
	tell("git-file-moved", rename("source", "n/g/.git"));
	directory("workflow");
	directory("workflow/workflows");
	make("workflow/workflows/ci.yml");
	tell("parent-workflows", rename("workflow", ".github"));
	tell("parent-workflows-linked", symlink("workflow", ".github"));
	directory(".github");
	directory("flows");
	make("flows/ci.yml");
	tell("workflows", rename("flows", ".github/workflows"));
}

static void repositories(void)
{
	directory("n/bare");
	make("n/bare/HEAD");
	make("n/bare/config");
	directory("n/bare/refs");
	tell("repository-objects", directory("n/bare/objects"));
	tell("repository-objects-linked", symlink("../..", "n/bare/objects"));
	directory("n/moved-objects");
	tell("repository-objects-moved", rename("n/moved-objects", "n/bare/objects"));
	directory("n/bare2");
	directory("n/bare2/refs");
	directory("n/bare2/objects");
	make("n/bare2/config");
	tell("repository-head", make("n/bare2/HEAD"));
	tell("repository-head-linked", symlink("config", "n/bare2/HEAD"));
	directory("n/tree");
	make("n/tree/HEAD");
	tell("repository-common", make("n/tree/commondir"));
	tell("repository-config", make("old.git/config"));
	tell("repository-config-worktree", make("old.git/config.worktree"));
	tell("repository-config-lock", make("old.git/config.lock"));
	tell("repository-config-worktree-lock", make("old.git/config.worktree.lock"));
	tell("repository-common-there", make("old.git/commondir"));
	directory("n/more-hooks");
	make("n/more-hooks/update");
	tell("repository-hooks-moved", rename("n/more-hooks", "old.git/hooks"));
	tell("repository-config-moved", rename("source", "old.git/config"));
	tell("repository-hook", make("old.git/hooks/update"));
	directory("old.git/modules");
	directory("n/submodule");
	make("n/submodule/HEAD");
	directory("n/submodule/objects");
	tell("repository-refs", directory("n/submodule/refs"));
}

static void configuration(void)
{
	tell("envrc", make(".envrc"));
	tell("npmrc", make(".npmrc"));
	tell("pnpmfile", make(".pnpmfile.cjs"));
	tell("yarnrc", make(".yarnrc.yml"));
	directory(".yarn");
	directory(".yarn/plugins");
	tell("yarn-plugin", make(".yarn/plugins/p.cjs"));
	directory(".cargo");
	tell("cargo", make(".cargo/config.toml"));
	tell("bunfig", make("bunfig.toml"));
	tell("pipeline", make(".gitlab-ci.yml"));
	directory(".vscode");
	tell("tasks", make(".vscode/tasks.json"));
	directory(".claude");
	tell("agent", make(".claude/settings.json"));
	tell("server", make(".mcp.json"));
}

static long deep(const char *path)
{
	char part[256];
	for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
		directory(part);
	}
	return make(path);
}

/* The same in a package further down, beside the `.git` of another repository, and out of what was fetched. */
static void nested_configuration(void)
{
	tell("nested-envrc", deep("n/p/.envrc"));
	tell("nested-npmrc", deep("n/p/q/.npmrc"));
	tell("nested-tasks", deep("n/p/.vscode/tasks.json"));
	tell("nested-deeper", deep("n/p/.claude/hooks/a/b"));
	tell("nested-server", deep("n/p/.mcp.json"));
	tell("nested-cargo", deep("n/p/.cargo/config.toml"));
	tell("nested-policy", deep("n/p/.agentguard/policy/own.rego"));
	tell("nested-helix", deep("n/p/.helix/languages.toml"));
	tell("nested-crush", deep("n/p/crush.json"));
	tell("nested-aider", deep("n/p/.aider.conf.yml"));
	tell("nested-other-case", deep("n/p/.Cursor/mcp.json"));
	tell("nested-linked", symlink("../../source", "n/p/.gemini"));
	deep("n/plain/settings.json");
	tell("nested-parent", rename("n/plain", "n/p/.windsurf"));
	deep("n/above/hooks/a.json");
	tell("nested-parent-above", rename("n/above", "n/p/.github"));
	make("n/file");
	tell("nested-moved", rename("n/file", "n/p/.yarnrc.yml"));
	tell("vendor-itself", deep("n/vendor/.envrc"));

	tell("neighbour-fetched", deep("n/node_modules/a/.vscode/tasks.json"));
	tell("neighbour-vendored", deep("n/vendor/c/.cargo/config.toml"));
	deep("n/node_modules/b/x/.envrc");
	deep("n/node_modules/c/.npmrc");
	deep("n/node_modules/e/.npmrc");
	tell("neighbour-within", rename("n/node_modules/a", "n/node_modules/.a-x"));
	tell("fetched-hard", link("n/node_modules/e/.npmrc", "n/p/.npmrc"));
	tell("fetched-moved", rename("n/node_modules/b", "n/p/b"));
	directory("n/p/d");
	tell("fetched-exchanged", renameat2(AT_FDCWD, "n/p/d", AT_FDCWD, "n/node_modules/c", RENAME_EXCHANGE));
	tell("fetched-renamed", rename("n/node_modules", "n/modules"));
	tell("vendor-renamed", rename("n/vendor", "n/own"));
	deep("n/m/node_modules/a/.envrc");
	tell("neighbour-parent", rename("n/m", "n/m2"));
	tell("neighbour-pipeline", deep("n/p/.gitlab-ci.yml"));

	tell("beside-workflow", deep("r/.github/workflows/ci.yml"));
	tell("beside-pipeline", make("r/.gitlab-ci.yml"));
	deep("n/flows/ci.yml");
	tell("beside-moved", rename("n/flows", "r/.circleci"));
	tell("beside-linked", symlink("../n", "r/.buildkite"));
	tell("neighbour-beside", deep("r/sub/.gitlab-ci.yml"));
}

/* names: tries every way to make a name where it makes others run code; then what work makes. */
int names(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	by_each_call();
	by_each_path();
	by_the_parent();
	repositories();
	configuration();
	nested_configuration();
	nested("work");
	tell("neighbour-index", make("n/work/.git/index"));
	tell("neighbour-sample", directory("n/work/.git/hooks") < 0 ? -1 : make("n/work/.git/hooks/update.sample"));
	directory("n/src");
	directory("n/src/hooks");
	tell("neighbour-hooks", make("n/src/hooks/use.ts"));
	make("old.git/HEAD.lock");
	tell("neighbour-head", rename("old.git/HEAD.lock", "old.git/HEAD"));
	tell("neighbour-deep", make("n/vscode"));
	return 0;
}

#define LONG 32
static struct {
	volatile char path[LONG];
	volatile int over;
	volatile long won;
} flipped;

static void put(const char *from)
{
	for (int i = 0; i < LONG && (flipped.path[i] = from[i]) != 0; i++)
		;
}

static void *flip_path(void *nothing)
{
	while (!flipped.over) {
		put("n/a/.git/config");
		put("n/a/dgit/config");
	}
	return nothing;
}

static void *flip_link(void *nothing)
{
	while (!flipped.over) {
		symlink("a/.git", "n/next");
		rename("n/next", "n/link");
		symlink("a/dgit", "n/next");
		rename("n/next", "n/link");
	}
	return nothing;
}

/* Moves a directory to where it is a repository's, and back. */
static void *move_directory(void *nothing)
{
	while (!flipped.over) {
		if (rename("n/a/dgit", "n/b/.git") == 0) {
			if (access("n/b/.git/config", F_OK) == 0)
				flipped.won++;
			rename("n/b/.git", "n/a/dgit");
		}
	}
	return nothing;
}

/* The same of a name that is a file at one time, and a directory at another. */
static void *move_either(void *nothing)
{
	while (!flipped.over) {
		make("n/a/dgit");
		unlink("n/a/dgit");
		mkdir("n/a/dgit", 0755);
		if (rename("n/a/dgit", "n/b/.git") == 0) {
			if (access("n/b/.git/config", F_OK) == 0)
				flipped.won++;
			unlink("n/b/.git/config");
			rmdir("n/b/.git");
		}
		rmdir("n/a/dgit");
	}
	return nothing;
}

/* race_names KIND TRIES: opens what another thread makes another place of. */
int race_names(int argc, char **argv)
{
	static const struct {
		const char *kind, *path;
		void *(*other)(void *);
	} kinds[] = {
		{ "path", NULL, flip_path },
		{ "symlink", "n/link/config", flip_link },
		{ "directory", "n/a/dgit/config", move_directory },
		{ "either", "n/a/dgit/config", move_either },
	};
	pthread_t thread;
	long made = 0;
	if (argc < 2)
		return 64;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (strcmp(kinds[i].kind, argv[0]) != 0)
			continue;
		put("n/a/dgit/config");
		if (pthread_create(&thread, NULL, kinds[i].other, NULL) != 0)
			return 1;
		const char *path = kinds[i].path ? kinds[i].path : (const char *)flipped.path;
		for (long tries = number(argv[1]); tries > 0; tries--) {
			made += make(path) >= 0;
			if (access("n/a/.git/config", F_OK) == 0) {
				flipped.won++;
				unlink("n/a/.git/config");
			}
			unlink("n/a/dgit/config");
		}
		flipped.over = 1;
		pthread_join(thread, NULL);
		printf("made %ld\nwon %ld\n", made, flipped.won);
		return 0;
	}
	return 64;
}

/* race_beside make|move SECONDS: one of two sessions, of which one makes a name in a directory while the other moves that
 * to where it counts. */
int race_beside(int argc, char **argv)
{
	long tried = 0, won = 0;
	if (argc < 2)
		return 64;
	time_t end = time(NULL) + number(argv[1]);
	while (time(NULL) < end) {
		if (strcmp(argv[0], "make") == 0) {
			tried += make("n/a/dgit/config") >= 0;
			unlink("n/a/dgit/config");
		} else if (rename("n/a/dgit", "n/b/.git") == 0) {
			tried++;
			won += access("n/b/.git/config", F_OK) == 0;
			unlink("n/b/.git/config");
			rename("n/b/.git", "n/a/dgit");
		}
	}
	printf("tried %ld\nwon %ld\n", tried, won);
	return 0;
}

static volatile long crowd_failed;

static void *one_of_many(void *number)
{
	char path[64], other[64];
	long own = (long)number;
	for (int i = 0; i < 20; i++) {
		snprintf(path, sizeof path, "crowd/%ld-%d", own, i);
		snprintf(other, sizeof other, "crowd/%ld-%d-other", own, i);
		if (make(path) < 0 || rename(path, other) < 0 || link(other, path) < 0 || unlink(other) < 0)
			__atomic_add_fetch(&crowd_failed, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

/* many_names: hundreds of threads make names at once, beside one that waits for a reader of its FIFO. */
int many_names(int argc, char **argv)
{
	enum { MANY = 200 };
	pthread_t threads[MANY];
	int status;
	(void)argc;
	(void)argv;
	mkdir("crowd", 0755);
	mkfifo("crowd/fifo", 0644);
	pid_t waiting[4];
	for (int i = 0; i < 4; i++)
		if ((waiting[i] = fork()) == 0)
			_exit(once(open("crowd/fifo", O_CREAT | O_WRONLY, 0644)) < 0);
	for (long i = 0; i < MANY; i++)
		if (pthread_create(&threads[i], NULL, one_of_many, (void *)i) != 0)
			return 1;
	for (int i = 0; i < MANY; i++)
		pthread_join(threads[i], NULL);
	errno = EIO;
	tell("crowd", crowd_failed == 0 ? 0 : -1);
	kill(waiting[0], SIGKILL);
	waitpid(waiting[0], &status, 0);
	tell("killed", WIFSIGNALED(status) ? 0 : -1);
	int reader = open("crowd/fifo", O_RDONLY);
	long woken = 0;
	for (int i = 1; i < 4; i++)
		if (waitpid(waiting[i], &status, 0) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
			woken++;
	tell("woken", woken == 3 ? 0 : -1);
	close(reader);
	return 0;
}

/* Starts what was just written. */
static int is_started(const char *program)
{
	int status;
	int file = open(program, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0755);
	if (write(file, "#!/bin/true\n", 12) != 12)
		return 0;
	close(file);
	pid_t child = fork();
	if (child == 0) {
		execl(program, program, (char *)NULL);
		_exit(1);
	}
	waitpid(child, &status, 0);
	unlink(program);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* let_go TRIES: whether somebody else still holds a file that was opened and closed, on a busy machine. */
int let_go(int argc, char **argv)
{
	enum { BUSY = 3, PROGRAMS = 40 };
	long tries = number(argv[0]), taken = 0, started = 0;
	pid_t busy[BUSY];
	(void)argc;
	for (int i = 0; i < BUSY; i++)
		if ((busy[i] = fork()) == 0)
			for (;;)
				;
	for (long i = 0; i < tries; i++) {
		int file = open("lock", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
		taken += flock(file, LOCK_EX | LOCK_NB) == 0;
		close(file);
	}
	for (long i = 0; i < PROGRAMS; i++)
		started += is_started("program");
	for (int i = 0; i < BUSY; i++)
		kill(busy[i], SIGKILL);
	printf("taken %ld\nstarted %ld\n", taken, started);
	return 0;
}

/* own_terminal: a session of its own, on a terminal of its own, opened by the name that everybody's has. */
int own_terminal(int argc, char **argv)
{
	char said[64] = { 0 };
	(void)argc;
	(void)argv;
	tell("none", once(open("/dev/tty", O_CREAT | O_WRONLY, 0644)));
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		return 1;
	pid_t child = fork();
	if (child == 0) {
		setsid();
		int own = open(ptsname(master), O_RDWR);
		if (ioctl(own, TIOCSCTTY, 0) < 0)
			_exit(1);
		int by_name = open("/dev/tty", O_CREAT | O_WRONLY, 0644);
		_exit(write(by_name, "said", 4) != 4);
	}
	waitpid(child, NULL, 0);
	tell("own", read(master, said, sizeof said - 1) >= 4 && strncmp(said, "said", 4) == 0 ? 0 : -1);
	return 0;
}

static void odd(const char *what, long result)
{
	printf("%s %s %d\n", what, result < 0 ? "failed" : "ok", result < 0 ? errno : 0);
}

/* odd_names: what the kernel says to odd calls is what is said to them here: run with us and without. */
int odd_names(int argc, char **argv)
{
	char name[300], path[5000];
	struct stat stat;
	(void)argc;
	(void)argv;
	mkdir("odd", 0755);
	make("odd/file");
	symlink("round", "odd/round");
	memset(name, 'x', sizeof name);
	snprintf(path, sizeof path, "odd/%.255s", name);
	odd("name-255", make(path));
	snprintf(path, sizeof path, "odd/%.256s", name);
	odd("name-256", make(path));
	path[0] = 0;
	while (strlen(path) < 4088)
		strcat(path, "odd/../");
	odd("path-long", make(strcat(path, "odd/l")));
	odd("path-too-long", make(strcat(path, "onger")));
	odd("bytes", make("odd/\xff\xfe\x01"));
	odd("empty", make(""));
	odd("null", syscall(SYS_openat, AT_FDCWD, 0L, O_CREAT, 0644));
	odd("nowhere", syscall(SYS_openat, AT_FDCWD, 1L << 46, O_CREAT, 0644));
	odd("slash", make("odd/new/"));
	odd("dot", make("odd/."));
	odd("dots", make("odd/.."));
	odd("root", make("/"));
	odd("directory", make("odd"));
	odd("directory-read", open("odd", O_CREAT | O_RDONLY, 0644));
	odd("directory-path", open("odd", O_CREAT | O_PATH, 0644));
	odd("file-above", make("odd/file/x"));
	odd("nothing-above", make("odd/none/x"));
	odd("round", make("odd/round"));
	odd("round-not-followed", open("odd/round", O_CREAT | O_NOFOLLOW | O_WRONLY, 0644));
	odd("exclusive", open("odd/file", O_CREAT | O_EXCL | O_WRONLY, 0644));
	odd("bad-descriptor", openat(999, "x", O_CREAT | O_WRONLY, 0644));
	odd("bad-descriptor-absolute", once(openat(999, "/dev/null", O_CREAT | O_WRONLY, 0644)));
	odd("file-descriptor", openat(open("odd/file", O_RDONLY), "x", O_CREAT | O_WRONLY, 0644));
	odd("mkdir", mkdir("odd/d/", 0755));
	odd("mkdir-again", mkdir("odd/d", 0755));
	odd("mkdir-dot", mkdir("odd/.", 0755));
	odd("symlink-empty", symlink("", "odd/s"));
	odd("symlink-slash", symlink("x", "odd/s/"));
	odd("link-directory", link("odd/d", "odd/e"));
	odd("link-flags", linkat(AT_FDCWD, "odd/file", AT_FDCWD, "odd/e", 0x8000));
	odd("link-link", linkat(AT_FDCWD, "odd/round", AT_FDCWD, "odd/round2", 0));
	odd("rename-dot", rename("odd/.", "odd/e"));
	odd("rename-into-itself", rename("odd", "odd/d/e"));
	odd("rename-missing", rename("odd/none", "odd/e"));
	odd("rename-flags", renameat2(AT_FDCWD, "odd/file", AT_FDCWD, "odd/e", 0x80));
	odd("rename-onto-directory", rename("odd/file", "odd/d"));
	odd("rename-no-replace", renameat2(AT_FDCWD, "odd/file", AT_FDCWD, "odd/d", RENAME_NOREPLACE));
	odd("node-directory", mknod("odd/n", S_IFDIR | 0755, 0));
	odd("node-odd", mknod("odd/n", 0170000, 0));
	odd("node-socket", mknod("odd/n", S_IFSOCK | 0644, 0));
	odd("node-device", mknod("odd/device", S_IFCHR | 0644, 0x103));
	umask(0);
	odd("mask", once(open("odd/mask", O_CREAT | O_WRONLY, 0666)));
	odd("mode", lstat("odd/mask", &stat) < 0 ? -1 : (errno = stat.st_mode, -1));
	umask(027);
	odd("mask-2", mkdir("odd/mask-2", 0777));
	odd("mode-2", lstat("odd/mask-2", &stat) < 0 ? -1 : (errno = stat.st_mode, -1));
	int close_on_exec = open("odd/file", O_CREAT | O_CLOEXEC | O_RDWR | O_APPEND, 0644);
	odd("cloexec", (errno = fcntl(close_on_exec, F_GETFD), -1));
	odd("flags", (errno = fcntl(close_on_exec, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK), -1));
	if (chdir("odd/d") == 0 && rmdir("../d") == 0)
		odd("gone", make("x"));
	return 0;
}

static atomic_int over;

static int is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

/* Makes the other part and takes it away again, but where the first one is there too. */
static void *make_refs(void *unused)
{
	while (!over) {
		if (mkdir("parts/refs", 0755) < 0)
			continue;
		while (!over && is_there("parts/HEAD"))
			sched_yield();
		if (!over)
			rmdir("parts/refs");
	}
	return unused;
}

/* race_parts ROUNDS: two threads make the last two parts of a repository, until both are there. */
int race_parts(int argc, char **argv)
{
	long rounds = argc > 0 ? number(argv[0]) : 1;
	long made = 0;
	pthread_t thread;
	mkdir("parts", 0755);
	mkdir("parts/objects", 0755);
	pthread_create(&thread, NULL, make_refs, NULL);
	while (!over && rounds-- > 0) {
		if (make("parts/HEAD") < 0)
			continue;
		made++;
		over = is_there("parts/refs");
		if (!over)
			unlink("parts/HEAD");
	}
	over = 1;
	pthread_join(thread, NULL);
	printf("made %ld\n", made);
	return 0;
}
