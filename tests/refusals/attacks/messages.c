/* Messages that are odd, and what the kernel says of each: whoever sends them for others says the same. */
#include "attack.h"
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ENTRIES 2048
#define MANY 1025	     /* UIO_MAXIOV and one (linux/uio.h) */
#define MOST_RIGHTS 253	     /* SCM_MAX_FD (net/scm.h) */
#define RIGHTS 300
#define WHOLE (2 << 20)
#define FAR_TOO_LONG (1L << 40)

static struct iovec pieces[ENTRIES];
static struct mmsghdr several[ENTRIES];
static volatile sig_atomic_t signals_;

static void count(int signal)
{
	(void)signal;
	signals_++;
}

static long empty(int socket_)
{
	static char taken[WHOLE];
	long all = 0, length;
	while ((length = recv(socket_, taken, sizeof taken, MSG_DONTWAIT)) > 0)
		all += length;
	return all;
}

/* Two pages, of which the second is nobody's. */
static char *cut_off(void)
{
	char *both = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(both + 4096, 4096);
	return both;
}

static void lengths(int socket_, int packets, char *whole)
{
	struct iovec piece = { "x", 1 };
	struct msghdr one = { .msg_iov = pieces, .msg_iovlen = MANY };
	tell("pieces", sendmsg(socket_, &one, 0));
	one.msg_iovlen = (size_t)FAR_TOO_LONG << 20;
	tell("pieces-without-end", sendmsg(socket_, &one, 0));
	one.msg_iov = &piece, one.msg_iovlen = 1;
	one.msg_control = whole, one.msg_controllen = (size_t)FAR_TOO_LONG;
	tell("control-without-end", sendmsg(socket_, &one, 0));
	int datagrams_ = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in *to = (struct sockaddr_in *)whole;
	to->sin_family = AF_INET, to->sin_port = htons(53);
	tell("name", sendto(datagrams_, "x", 1, 0, (struct sockaddr *)whole, 129));
	tell("name-without-end", sendto(datagrams_, "x", 1, 0, (struct sockaddr *)whole, INT32_MAX));
	tell("name-negative", sendto(datagrams_, "x", 1, 0, (struct sockaddr *)whole, (socklen_t)-1));
	memset(whole, 0, 128);
	tell("nobody", send(datagrams_, "x", 1, 0));
	close(datagrams_);
	piece = (struct iovec){ whole, WHOLE };
	one.msg_control = NULL, one.msg_controllen = 0;
	tell("packet", sendmsg(packets, &one, 0));
	/* Of a stream, as much is sent as can be. */
	tell("stream-without-end", send(socket_, whole, (size_t)FAR_TOO_LONG, MSG_DONTWAIT));
}

static void cut(int socket_)
{
	char *page = cut_off();
	struct iovec piece = { page + 4000, 200 };
	struct msghdr one = { .msg_iov = &piece, .msg_iovlen = 1 };
	tell("text-cut", sendmsg(socket_, &one, 0));
	piece = (struct iovec){ page, 1 };
	memcpy(page + 4096 - 40, &one, 40);
	tell("header-cut", syscall(SYS_sendmsg, socket_, page + 4096 - 40, 0));
	tell("header-nowhere", syscall(SYS_sendmsg, socket_, 8, 0));
}

static void several_at_once(int sender, int receiver)
{
	struct iovec nowhere = { (void *)8, 1 }, piece = { "x", 1 };
	printf("many %d\n", sendmmsg(sender, several, MANY, 0));
	several[0].msg_hdr.msg_iov = &nowhere, several[0].msg_hdr.msg_iovlen = 1;
	tell("first-fails", sendmmsg(sender, several, 2, 0));
	several[1] = several[0];
	several[0].msg_hdr.msg_iov = &piece;
	printf("second-fails %d\n", sendmmsg(sender, several, 2, 0));
	printf("came %ld\n", empty(receiver));
}

/* A message with a word of control beside it: of this kind, and with so many numbers. */
static long carrying(int socket_, int kind, const void *words, size_t length)
{
	static char space[4096];
	struct iovec piece = { "x", 1 };
	struct msghdr one = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = space, .msg_controllen = CMSG_SPACE(length) };
	struct cmsghdr *control = CMSG_FIRSTHDR(&one);
	control->cmsg_level = SOL_SOCKET, control->cmsg_type = kind, control->cmsg_len = CMSG_LEN(length);
	memcpy(CMSG_DATA(control), words, length);
	return sendmsg(socket_, &one, 0);
}

static void control(int sender, int receiver)
{
	int numbers[RIGHTS] = { 0 };
	struct ucred self = { getpid(), getuid(), getgid() };
	tell("rights", carrying(sender, SCM_RIGHTS, numbers, MOST_RIGHTS * sizeof(int)));
	tell("rights-too-many", carrying(sender, SCM_RIGHTS, numbers, sizeof numbers));
	numbers[0] = 1000;
	tell("rights-to-nothing", carrying(sender, SCM_RIGHTS, numbers, sizeof(int)));
	tell("credentials", carrying(sender, SCM_CREDENTIALS, &self, sizeof self));
	tell("unknown", carrying(sender, 99, numbers, sizeof(int)));
	empty(receiver);
}

static void broken(const char *what, int type)
{
	int ends[2];
	struct iovec piece = { "x", 1 };
	struct msghdr one = { .msg_iov = &piece, .msg_iovlen = 1 };
	socketpair(AF_UNIX, type, 0, ends);
	close(ends[1]);
	for (int silent = 0; silent < 2; silent++) {
		signals_ = 0;
		long sent = sendmsg(ends[0], &one, silent ? MSG_NOSIGNAL : 0);
		printf("%s%s %d %d\n", what, silent ? "-silent" : "", sent < 0 ? errno : 0, (int)signals_);
	}
	close(ends[0]);
}

static void *wait_to_send(void *unused)
{
	static char text[1 << 16];
	struct iovec piece = { text, sizeof text };
	struct msghdr one = { .msg_iov = &piece, .msg_iovlen = 1 };
	int ends[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
	while (sendmsg(ends[0], &one, 0) > 0)
		;
	return unused;
}

/* messages: each oddity, on sockets of one's own; then many wait for room, and one more does not wait with them. */
int messages(int argc, char **argv)
{
	(void)argc, (void)argv;
	int stream[2], packets[2];
	struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "messages" };
	struct iovec piece = { "x", 1 };
	struct msghdr named = { .msg_name = &name, .msg_namelen = sizeof name, .msg_iov = &piece, .msg_iovlen = 1 };
	char *whole = mmap(NULL, WHOLE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	socketpair(AF_UNIX, SOCK_STREAM, 0, stream);
	socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets);
	signal(SIGPIPE, count);
	tell("named", sendmsg(stream[0], &named, 0));
	tell("wide-number", syscall(SYS_sendmsg, stream[0] | 1L << 32, &(struct msghdr){ .msg_iov = &piece, .msg_iovlen = 1 }, 0));
	lengths(stream[0], packets[0], whole);
	empty(stream[1]);
	cut(stream[0]);
	several_at_once(stream[0], stream[1]);
	control(stream[0], stream[1]);
	broken("broken", SOCK_STREAM);
	broken("broken-packets", SOCK_SEQPACKET);
	for (int i = 0; i < 200; i++) {
		pthread_t thread;
		pthread_create(&thread, NULL, wait_to_send, NULL);
	}
	/* Who waited with them would wait for ever. */
	alarm(60);
	for (int i = 0; i < 20 && sendmsg(stream[0], &(struct msghdr){ .msg_iov = &piece, .msg_iovlen = 1 }, 0) == 1; i++)
		usleep(100000);
	tell("others", empty(stream[1]) == 20 ? 0 : -1);
	return 0;
}

#define SENDERS 96

static int full[SENDERS][2];
static char *megabyte;
static atomic_int begun, refused, sent_;

static void *send_megabyte(void *own)
{
	struct iovec piece = { megabyte, 1 << 20 };
	struct msghdr one = { .msg_iov = &piece, .msg_iovlen = 1 };
	begun++;
	long sent = sendmsg(*(int *)own, &one, MSG_NOSIGNAL);
	if (sent < 0 && errno == EAGAIN)
		refused++;
	else if (sent > 0)
		sent_++;
	return NULL;
}

/* copies: whole megabytes that nobody takes. Says how many were not waited with; once all is taken, there is room again. */
int copies(int argc, char **argv)
{
	(void)argc, (void)argv;
	pthread_t threads[SENDERS];
	megabyte = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	alarm(60);
	for (int i = 0; i < SENDERS; i++) {
		socketpair(AF_UNIX, SOCK_STREAM, 0, full[i]);
		while (send(full[i][0], megabyte, 4096, MSG_DONTWAIT) > 0)
			;
		pthread_create(&threads[i], NULL, send_megabyte, full[i]);
	}
	/* Nobody tells that a thread waits: those that do not have said so when no more do. */
	for (int last = -1, still = 0; begun < SENDERS || still < 30; still = last == refused ? still + 1 : 0, last = refused)
		usleep(100000);
	printf("waiting %d\n", SENDERS - refused - sent_);
	struct iovec piece = { "x", 1 };
	tell("short", sendmsg(full[0][0], &(struct msghdr){ .msg_iov = &piece, .msg_iovlen = 1 }, MSG_DONTWAIT) == -1 && errno == EAGAIN ? 0 : -1);
	int fresh[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, fresh);
	tell("short-elsewhere", sendmsg(fresh[0], &(struct msghdr){ .msg_iov = &piece, .msg_iovlen = 1 }, 0));
	fflush(stdout);
	for (int i = 0; i < SENDERS; i++) {
		close(full[i][1]);
		pthread_join(threads[i], NULL);
	}
	piece = (struct iovec){ megabyte, 1 << 20 };
	tell("again", sendmsg(fresh[0], &(struct msghdr){ .msg_iov = &piece, .msg_iovlen = 1 }, MSG_DONTWAIT));
	return 0;
}
