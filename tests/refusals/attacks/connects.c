/* What a connect names is changed between judgement and connection. */
#include "attack.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

socklen_t path_address(struct sockaddr_un *address, const char *path);
void wait_for_others(void);

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

static const char *kind;
static volatile int over;
static volatile struct sockaddr_un shared;
static int subject, harmless, real;
static ino_t forbidden_inode;

static int is(const char *name)
{
	return strcmp(kind, name) == 0;
}

static void turn(int forbidden)
{
	if (is("address"))
		for (int i = 0; i < 5; i++)
			shared.sun_path[i] = (forbidden ? "late" : "mine")[i];
	if (is("link")) {
		symlink(forbidden ? "late" : "mine", "next");
		rename("next", "link");
	}
	if (is("exchange"))
		syscall(SYS_renameat2, AT_FDCWD, "late", AT_FDCWD, "mine-too", RENAME_EXCHANGE);
	if (is("mode"))
		chmod("late", forbidden ? 0777 : 0);
	if (is("descriptor"))
		dup2(forbidden ? real : harmless, subject);
}

static void *turning(void *unused)
{
	for (int i = 0; !over; i++) {
		turn(i & 1);
		for (volatile int spin = 0; spin < (i * 37) % 4000; spin++)
			;
	}
	return unused;
}

static int serve(const char *path)
{
	struct sockaddr_un address;
	socklen_t length = path_address(&address, path);
	int server = socket(AF_UNIX, SOCK_STREAM, 0);
	unlink(path);
	bind(server, (struct sockaddr *)&address, length);
	return listen(server, 1) < 0 ? -1 : server;
}

static void try(int server, long *reached, long *refused)
{
	struct sockaddr *address = (struct sockaddr *)&shared;
	real = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int client = real;
	if (is("descriptor")) {
		harmless = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		client = subject = dup(harmless);
	}
	pthread_t thread;
	if (is("descriptor") && (over = 0, pthread_create(&thread, NULL, turning, NULL)) != 0)
		_exit(3);
	for (int i = 0; i < (is("descriptor") ? 8 : 1); i++) {
		if (connect(client, address, sizeof shared) == 0)
			++*reached;
		else
			*refused += errno == EACCES;
	}
	if (is("descriptor")) {
		over = 1;
		pthread_join(thread, NULL);
		close(harmless);
		close(client);
	}
	close(real);
	for (int accepted; (accepted = accept4(server, NULL, NULL, SOCK_NONBLOCK)) >= 0;)
		close(accepted);
}

/* connects KIND TRIES: to `mine` or one of the session's own; never to `late`, which is the host's. */
int connects(int argc, char **argv)
{
	long reached = 0, refused = 0;
	(void)argc;
	kind = argv[0];
	struct stat late_;
	wait_for_others();
	forbidden_inode = stat("late", &late_) == 0 ? late_.st_ino : 0;
	int server = serve("mine"), other = serve("mine-too");
	fcntl(server, F_SETFL, O_NONBLOCK);
	fcntl(other, F_SETFL, O_NONBLOCK);
	int through = is("address") ? 0 : is("link") ? 1 : 2;
	const char *const names[] = { "mine", "link", "late" };
	symlink("mine", "link");
	path_address((struct sockaddr_un *)&shared, names[through]);
	pthread_t thread;
	if (!is("descriptor") && pthread_create(&thread, NULL, turning, NULL) != 0)
		return 3;
	for (long i = 0; i < number(argv[1]); i++) {
		try(server, &reached, &refused);
		for (int accepted; (accepted = accept(other, NULL, NULL)) >= 0;)
			close(accepted);
	}
	over = 1;
	if (!is("descriptor"))
		pthread_join(thread, NULL);
	/* That the race was one: both sides of it were seen. */
	errno = ENOENT;
	tell("reached", reached > 0 ? 0 : -1);
	tell("refused", refused > 0 ? 0 : -1);
	return 0;
}

/* births N: connects to each of `born-0`... from before it is there. */
int births(int argc, char **argv)
{
	char path[32];
	struct sockaddr_un address;
	long reached = 0;
	(void)argc;
	wait_for_others();
	for (long i = 0; i < number(argv[0]); i++) {
		snprintf(path, sizeof path, "born-%ld", i);
		socklen_t length = path_address(&address, path);
		long result;
		do {
			int client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
			result = connect(client, (struct sockaddr *)&address, length);
			close(client);
		} while (result < 0 && (errno == ENOENT || errno == ECONNREFUSED));
		reached += result == 0;
		printf("born-%ld %s\n", i, result == 0 ? "ok" : errno == EACCES ? "EACCES" : "other");
		fflush(stdout);
	}
	errno = EACCES;
	tell("births", reached ? 0 : -1);
	return 0;
}

static int ask_about_connect(void)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_connect, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog whole = { sizeof program / sizeof *program, program };
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &whole);
}

/* Whether what it sees is harmless: no unix socket, or one that is not the host's. */
static int looks_harmless(int memory, const struct seccomp_notif *asked)
{
	struct sockaddr_un address = { 0 };
	struct stat found;
	char path[64];
	int domain = 0;
	socklen_t length = sizeof domain;
	/* Another thread of the same process: the descriptors are shared. */
	if (getsockopt((int)asked->data.args[0], SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain != AF_UNIX)
		return 1;
	if (pread(memory, &address, sizeof address, (off_t)asked->data.args[1]) < 4)
		return 0;
	memcpy(path, address.sun_path, sizeof path - 1);
	path[sizeof path - 1] = 0;
	return stat(path, &found) == 0 && found.st_ino != forbidden_inode;
}

static int listener_;

static void *supervising(void *unused)
{
	int memory = open("/proc/self/mem", O_RDONLY);
	for (;;) {
		struct seccomp_notif asked = { 0 };
		struct seccomp_notif_resp answer = { 0 };
		if (ioctl(listener_, SECCOMP_IOCTL_NOTIF_RECV, &asked) < 0)
			continue;
		answer.id = asked.id;
		if (looks_harmless(memory, &asked))
			answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		else
			answer.error = -EACCES;
		ioctl(listener_, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	}
	return unused;
}

/* naive KIND TRIES: the same under a supervisor that looks, and lets the kernel go on. */
int naive(int argc, char **argv)
{
	pthread_t thread;
	listener_ = ask_about_connect();
	if (listener_ < 0 || pthread_create(&thread, NULL, supervising, NULL) != 0)
		return 3;
	return connects(argc, argv);
}
