/* Unix sockets that appear while a session runs, and those of the session itself. */
#include "attack.h"
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

/* Says that all is ready, and waits for a line, or the end, of the input. */
void wait_for_others(void)
{
	char line[16];
	printf("ready ok\n");
	fflush(stdout);
	if (read(0, line, sizeof line) < 0)
		_exit(3);
}

/* The address of a path, as many bytes of it as fit; its length. */
socklen_t path_address(struct sockaddr_un *address, const char *path)
{
	size_t length = strlen(path);
	memset(address, 0, sizeof *address);
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, length < sizeof address->sun_path ? length : sizeof address->sun_path);
	length += length < sizeof address->sun_path;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

static long reach_by(int type, const char *path)
{
	struct sockaddr_un address;
	socklen_t length = path_address(&address, path);
	int socket_ = socket(AF_UNIX, type, 0);
	if (socket_ < 0)
		return -1;
	long result = connect(socket_, (struct sockaddr *)&address, length);
	int error = errno;
	if (result == 0)
		result = write(socket_, "reached", 7);
	close(socket_);
	errno = error;
	return result;
}

static void tell_reach(const char *what, const char *path)
{
	tell(what, reach_by(SOCK_STREAM, path));
}

static void through_proc(void)
{
	char path[64];
	int file = open("late", O_PATH), directory = open(".", O_PATH | O_DIRECTORY);
	snprintf(path, sizeof path, "/proc/self/fd/%d", file);
	tell_reach("proc-descriptor", path);
	snprintf(path, sizeof path, "/dev/fd/%d", file);
	tell_reach("dev-descriptor", path);
	snprintf(path, sizeof path, "/proc/self/fd/%d/late", directory);
	tell_reach("proc-below-descriptor", path);
	snprintf(path, sizeof path, "/proc/%d/cwd/late", (int)getpid());
	tell_reach("proc-number", path);
	tell_reach("proc-directory", "/proc/self/cwd/late");
	tell_reach("proc-thread", "/proc/thread-self/cwd/late");
}

static void through_names(void)
{
	char here[4096], path[8192];
	if (getcwd(here, sizeof here) == NULL)
		_exit(3);
	tell_reach("plain", "late");
	tell_reach("dots", "./x/.././late");
	snprintf(path, sizeof path, "%s/late", here);
	if (strlen(path) < 108)
		tell_reach("absolute", path);
	snprintf(path, sizeof path, "/proc/self/root%s/late", here);
	if (strlen(path) < 108)
		tell_reach("proc-root", path);
	symlink("late", "link");
	tell_reach("link", "link");
	symlink(here, "x/up");
	tell_reach("link-above", "x/up/late");
	link("late", "hard");
	tell_reach("hard-link", "hard");
	rename("late-to-move", "x/moved");
	tell_reach("moved", "x/moved");
	chmod("late", 0777);
	tell_reach("mode", "late");
	memset(path, 0, sizeof path);
	while (strlen(path) + strlen("late") < 108)
		strcat(path, "./");
	if (strlen(path) + strlen("late") > 108)
		strcpy(path + 102, "//");
	strcpy(path + 104, "late");
	tell_reach("without-an-end", path);
	if (chdir("x") == 0)
		tell_reach("from-below", "../late");
	if (chdir("..") < 0)
		_exit(3);
}

/* Datagrams name their receiver each by itself. */
static void by_datagram(void)
{
	struct sockaddr_un address;
	int pair[2];
	socklen_t length = path_address(&address, "late-datagrams");
	struct iovec text = { "reached", 7 };
	struct mmsghdr messages = { .msg_hdr = { .msg_name = &address, .msg_namelen = length, .msg_iov = &text,
						 .msg_iovlen = 1 } };
	int socket_ = socket(AF_UNIX, SOCK_DGRAM, 0);
	tell("datagram", socket_);
	tell("datagram-sendto", sendto(socket_, "reached", 7, 0, (struct sockaddr *)&address, length));
	tell("datagram-sendmsg", sendmsg(socket_, &messages.msg_hdr, 0));
	tell("datagram-sendmmsg", sendmmsg(socket_, &messages, 1, 0));
	tell("datagram-raw", socket(AF_UNIX, SOCK_RAW, 0));
	for (int raw = 0; raw < 2; raw++) {
		pair[0] = -1;
		tell(raw ? "pair-raw" : "pair", socketpair(AF_UNIX, raw ? SOCK_RAW : SOCK_DGRAM, 0, pair));
		tell(raw ? "pair-raw-sendto" : "pair-sendto",
		     sendto(pair[0], "reached", 7, 0, (struct sockaddr *)&address, length));
		tell(raw ? "pair-raw-sendmsg" : "pair-sendmsg", sendmsg(pair[0], &messages.msg_hdr, 0));
	}
}

/* Streams and packets take no name with a message. */
static void by_message(void)
{
	struct sockaddr_un address;
	struct iovec text = { "reached", 7 };
	socklen_t length = path_address(&address, "late");
	struct msghdr message = { .msg_name = &address, .msg_namelen = length, .msg_iov = &text, .msg_iovlen = 1 };
	int stream = socket(AF_UNIX, SOCK_STREAM, 0), packets = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	tell("stream-sendto", sendto(stream, "reached", 7, 0, (struct sockaddr *)&address, length));
	tell("stream-fast", sendto(stream, "reached", 7, MSG_FASTOPEN, (struct sockaddr *)&address, length));
	path_address(&address, "late-packets");
	tell("packets-sendmsg", sendmsg(packets, &message, 0));
}

/* Addresses that are none, or not what they seem. */
static void by_odd_addresses(void)
{
	struct sockaddr_un address;
	socklen_t length = path_address(&address, "late");
	int stream = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr *odd = (struct sockaddr *)&address;
	tell("too-long", connect(stream, odd, 111));
	tell("far-too-long", connect(stream, odd, 129));
	tell("negative", connect(stream, odd, (socklen_t)-1));
	tell("without-end", connect(stream, odd, INT32_MAX));
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(page + 4096, 4096);
	memcpy(page + 4096 - length + 1, odd, length - 1);
	tell("cut", connect(stream, (struct sockaddr *)(page + 4096 - length + 1), length));
	tell("nowhere", connect(stream, (struct sockaddr *)8, length));
	tell("empty", connect(stream, odd, 0));
	tell("only-a-family", connect(stream, odd, 2));
	address.sun_family = AF_INET;
	tell("other-family", connect(stream, odd, length));
	address.sun_family = AF_UNSPEC;
	tell("no-family", connect(stream, odd, length));
	address.sun_family = AF_UNIX;
	memmove(address.sun_path + 1, address.sun_path, 5);
	address.sun_path[0] = 0;
	tell("abstract", connect(stream, odd, length));
	tell("no-descriptor", connect(1000, odd, length));
	tell("no-socket", connect(0, odd, length));
}

/* late [PATH...]: sockets of the host that are there after the input says so, in here and at other paths. */
int late(int argc, char **argv)
{
	char name[32];
	mkdir("x", 0755);
	wait_for_others();
	through_names();
	through_proc();
	tell("packets", reach_by(SOCK_SEQPACKET, "late-packets"));
	tell("not-waiting", reach_by(SOCK_STREAM | SOCK_NONBLOCK, "late"));
	for (int i = 0; i < argc; i++) {
		snprintf(name, sizeof name, "other-%d", i);
		tell_reach(name, argv[i]);
	}
	by_datagram();
	by_message();
	by_odd_addresses();
	return 0;
}

static int listen_at(const char *path, int type, int backlog)
{
	struct sockaddr_un address;
	socklen_t length = path_address(&address, path);
	int socket_ = socket(AF_UNIX, type, 0);
	unlink(path);
	if (bind(socket_, (struct sockaddr *)&address, length) < 0 || listen(socket_, backlog) < 0)
		return -1;
	return socket_;
}

static long send_descriptor(int socket_, int descriptor)
{
	char space[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec text = { "d", 1 };
	struct msghdr message = { .msg_iov = &text, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space };
	struct cmsghdr *control = CMSG_FIRSTHDR(&message);
	control->cmsg_level = SOL_SOCKET;
	control->cmsg_type = SCM_RIGHTS;
	control->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(control), &descriptor, sizeof descriptor);
	return sendmsg(socket_, &message, 0);
}

static int receive_descriptor(int socket_)
{
	char space[CMSG_SPACE(sizeof(int))] = { 0 }, byte;
	int descriptor = -1;
	struct iovec text = { &byte, 1 };
	struct msghdr message = { .msg_iov = &text, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space };
	if (recvmsg(socket_, &message, 0) == 1 && CMSG_FIRSTHDR(&message) != NULL)
		memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof descriptor);
	return descriptor;
}

/* What a server of the session's own learns of its client, and what passes between them. */
static void serve_one(const char *what, const char *path, int type)
{
	char name[64], byte;
	struct sockaddr_un address, peer;
	socklen_t length = path_address(&address, path);
	int server = listen_at(path, type, 4), client = socket(AF_UNIX, type, 0);
	snprintf(name, sizeof name, "%s-connect", what);
	tell(name, connect(client, (struct sockaddr *)&address, length));
	int accepted = accept(server, NULL, NULL);
	struct ucred who = { 0 };
	socklen_t size = sizeof who;
	getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &who, &size);
	snprintf(name, sizeof name, "%s-user", what);
	errno = EPERM;
	tell(name, who.uid == getuid() && who.gid == getgid() ? 0 : -1);
	snprintf(name, sizeof name, "%s-process", what);
	errno = ESRCH;
	tell(name, who.pid == 0 ? -1 : 0);
	int handle = -1;
	size = sizeof handle;
	if (getsockopt(accepted, SOL_SOCKET, 77 /* SO_PEERPIDFD */, &handle, &size) == 0) {
		snprintf(name, sizeof name, "%s-kill", what);
		tell(name, syscall(SYS_pidfd_send_signal, handle, SIGKILL, NULL, 0));
	}
	getsockopt(client, SOL_SOCKET, SO_PEERCRED, &who, &size);
	size = sizeof peer;
	snprintf(name, sizeof name, "%s-name", what);
	errno = ENOENT;
	tell(name, getpeername(client, (struct sockaddr *)&peer, &size) == 0 && strcmp(peer.sun_path, path) == 0 ? 0 : -1);
	int pipes[2];
	snprintf(name, sizeof name, "%s-descriptor", what);
	tell(name, pipe(pipes) == 0 && send_descriptor(client, pipes[0]) == 1 && write(pipes[1], "x", 1) == 1 &&
				   read(receive_descriptor(accepted), &byte, 1) == 1 ?
			   0 :
			   -1);
	close(server);
	close(accepted);
	close(client);
	snprintf(name, sizeof name, "%s-stale", what);
	tell(name, reach_by(type, path));
}

/* A pair for datagrams, of which each end hears the other whatever receiver is named. */
static int pair_of_datagrams(int flags)
{
	char text[8] = { 0 };
	int pair[2] = { -1, -1 };
	struct sockaddr_un nowhere;
	socklen_t length = path_address(&nowhere, "nowhere");
	if (socketpair(AF_UNIX, SOCK_DGRAM | flags, 0, pair) < 0)
		return -1;
	int is_as_asked = (fcntl(pair[0], F_GETFD) == FD_CLOEXEC) == (flags == SOCK_CLOEXEC) &&
			  (fcntl(pair[1], F_GETFL) & O_NONBLOCK) == (flags == SOCK_NONBLOCK ? O_NONBLOCK : 0);
	int is_carried = write(pair[0], "one", 3) == 3 &&
			 sendto(pair[0], "two", 3, 0, (struct sockaddr *)&nowhere, length) == 3 &&
			 read(pair[1], text, sizeof text) == 3 && read(pair[1], text + 3, 4) == 3 &&
			 strcmp(text, "onetwo") == 0 && write(pair[1], "back", 4) == 4 && read(pair[0], text, 8) == 4;
	close(pair[0]);
	close(pair[1]);
	errno = ENOMSG;
	return is_as_asked && is_carried ? 0 : -1;
}

/* own [PATH...]: servers and clients of one session. */
int own(int argc, char **argv)
{
	char what[32];
	int pair[2];
	serve_one("stream", "own", SOCK_STREAM);
	serve_one("packets", "own-packets", SOCK_SEQPACKET);
	for (int i = 0; i < argc; i++) {
		snprintf(what, sizeof what, "other-%d", i);
		serve_one(what, argv[i], SOCK_STREAM);
	}
	tell("pair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	tell("pair-packets", socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
	tell("pair-datagrams", pair_of_datagrams(0));
	tell("pair-datagrams-closed", pair_of_datagrams(SOCK_CLOEXEC));
	tell("pair-datagrams-unwaiting", pair_of_datagrams(SOCK_NONBLOCK));
	tell("pair-datagrams-nowhere", syscall(SYS_socketpair, AF_UNIX, SOCK_DGRAM, 0, 8L));
	tell("pair-datagrams-odd", socketpair(AF_UNIX, SOCK_DGRAM | 0x10, 0, pair));
	tell("pair-datagrams-protocol", socketpair(AF_UNIX, SOCK_DGRAM, 7, pair));
	close(open("file", O_CREAT | O_WRONLY, 0644));
	tell("file", reach_by(SOCK_STREAM, "file"));
	tell("directory", reach_by(SOCK_STREAM, "."));
	tell("nothing", reach_by(SOCK_STREAM, "nothing"));
	tell("below-a-file", reach_by(SOCK_STREAM, "file/x"));
	int server = listen_at("typed", SOCK_STREAM, 1);
	tell("other-type", reach_by(SOCK_SEQPACKET, "typed"));
	chmod("typed", 0);
	tell("no-mode", reach_by(SOCK_STREAM, "typed"));
	close(server);
	return 0;
}

/* receive PATH: takes a descriptor from whoever listens there, and reads it. */
int receive(int argc, char **argv)
{
	char text[64] = { 0 };
	struct sockaddr_un address;
	socklen_t length = path_address(&address, argv[0]);
	int client = socket(AF_UNIX, SOCK_STREAM, 0);
	(void)argc;
	tell("connect", connect(client, (struct sockaddr *)&address, length));
	tell("send", write(client, "reached", 7));
	tell("received", read(receive_descriptor(client), text, sizeof text - 1) > 0 ? 0 : -1);
	return 0;
}

/* misfit PATH: connects to it with a socket of another kind than listens there. */
int misfit(int argc, char **argv)
{
	(void)argc;
	tell("misfit", reach_by(SOCK_SEQPACKET, argv[0]));
	return 0;
}

/* One datagram to a port, in each way that names one. */
static void send_to(const char *what, int socket_, struct sockaddr_in *to)
{
	char name[64];
	struct iovec piece = { "stolen", 6 };
	struct mmsghdr one = { .msg_hdr = { .msg_name = to, .msg_namelen = sizeof *to, .msg_iov = &piece, .msg_iovlen = 1 } };
	snprintf(name, sizeof name, "%s-sendto", what);
	tell(name, sendto(socket_, "stolen", 6, 0, (struct sockaddr *)to, sizeof *to));
	snprintf(name, sizeof name, "%s-sendmsg", what);
	tell(name, sendmsg(socket_, &one.msg_hdr, 0));
	snprintf(name, sizeof name, "%s-sendmmsg", what);
	tell(name, sendmmsg(socket_, &one, 1, 0));
}

static int tcp_listener(struct sockaddr_in *address);

/* Sent for a caller is a copy. Its pages are not lent to the kernel, which would say when it has done with them: others'
 * words may stand there by then. */
static void sent_by_copy(void)
{
	static char large[1 << 16];
	struct sockaddr_in address;
	char control[256];
	struct iovec piece = { large, sizeof large };
	struct msghdr one = { .msg_iov = &piece, .msg_iovlen = 1 }, told = { .msg_control = control, .msg_controllen = sizeof control };
	int server = tcp_listener(&address), client = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	connect(client, (struct sockaddr *)&address, sizeof address);
	int accepted = accept4(server, NULL, NULL, SOCK_NONBLOCK);
	tell("own-option", setsockopt(client, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof on));
	tell("own-large", sendmsg(client, &one, MSG_ZEROCOPY));
	while (recv(accepted, large, sizeof large, 0) > 0)
		;
	struct pollfd done = { .fd = client };
	poll(&done, 1, 500);
	tell("own-copied", recvmsg(client, &told, MSG_ERRQUEUE | MSG_DONTWAIT) < 0 && errno == EAGAIN ? 0 : -1);
}

/* What a session does with sockets of its own network, where it has one. */
static void on_own_network(void)
{
	struct sockaddr_in own = { .sin_family = AF_INET };
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct { struct nlmsghdr head; struct rtgenmsg what; } request = {
		{ sizeof request, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 1, 0 }, { AF_UNSPEC } };
	char answer[8192];
	socklen_t length = sizeof own;
	int server = socket(AF_INET, SOCK_DGRAM, 0), client = socket(AF_INET, SOCK_DGRAM, 0);
	own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	tell("own-bind", bind(server, (struct sockaddr *)&own, sizeof own));
	getsockname(server, (struct sockaddr *)&own, &length);
	send_to("own", client, &own);
	/* It comes when the kernel has a moment for it. */
	struct pollfd came = { .fd = server, .events = POLLIN };
	poll(&came, 1, 20000);
	tell("own-came", recv(server, answer, sizeof answer, MSG_DONTWAIT) == 6 ? 0 : -1);
	/* What is said of the network beside a message is left out. */
	char space[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec piece = { "once", 4 };
	struct msghdr beside = { .msg_name = &own, .msg_namelen = sizeof own, .msg_iov = &piece, .msg_iovlen = 1,
				 .msg_control = space, .msg_controllen = sizeof space };
	*CMSG_FIRSTHDR(&beside) = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_TTL };
	tell("own-beside", sendmsg(client, &beside, 0));
	tell("own-listen", listen(socket(AF_INET, SOCK_STREAM, 0), 1));
	int links = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE);
	tell("own-links", sendto(links, &request, sizeof request, 0, (struct sockaddr *)&kernel, sizeof kernel));
	tell("own-links-told", recv(links, answer, sizeof answer, MSG_DONTWAIT));
	kernel.nl_pid = 1;
	tell("links-elsewhere", sendto(links, &request, sizeof request, 0, (struct sockaddr *)&kernel, sizeof kernel));
	sent_by_copy();
}

/* handed-in PATH PORT: takes sockets from whoever listens there, and leads them to that port in every way. */
int handed_in(int argc, char **argv)
{
	struct sockaddr_un address;
	struct sockaddr_in port = { .sin_family = AF_INET, .sin_port = htons((uint16_t)number(argv[1])) };
	socklen_t length = path_address(&address, argv[0]);
	int client = socket(AF_UNIX, SOCK_STREAM, 0);
	(void)argc;
	port.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	tell("asked", connect(client, (struct sockaddr *)&address, length));
	int socket_ = receive_descriptor(client);
	tell("received", socket_);
	tell("fastopen", sendto(socket_, "stolen", 6, MSG_FASTOPEN, (struct sockaddr *)&port, sizeof port));
	struct iovec piece = { "stolen", 6 };
	struct mmsghdr one = { .msg_hdr = { .msg_name = &port, .msg_namelen = sizeof port, .msg_iov = &piece, .msg_iovlen = 1 } };
	tell("fastopen-message", sendmsg(socket_, &one.msg_hdr, MSG_FASTOPEN));
	tell("fastopen-messages", sendmmsg(socket_, &one, 1, MSG_FASTOPEN));
	tell("connect", connect(socket_, (struct sockaddr *)&port, sizeof port));
	tell("listen", listen(socket_, 1));
	struct sockaddr_in any = { .sin_family = AF_INET };
	tell("bind", bind(socket_, (struct sockaddr *)&any, sizeof any));
	int datagrams_ = receive_descriptor(client);
	tell("received-datagrams", datagrams_);
	send_to("datagram", datagrams_, &port);
	tell("datagram-bind", bind(datagrams_, (struct sockaddr *)&any, sizeof any));
	on_own_network();
	return 0;
}

static int tcp_listener(struct sockaddr_in *address)
{
	socklen_t length = sizeof *address;
	int server = socket(AF_INET, SOCK_STREAM, 0);
	memset(address, 0, sizeof *address);
	address->sin_family = AF_INET;
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(server, (struct sockaddr *)address, sizeof *address) < 0 || listen(server, 0) < 0)
		return -1;
	getsockname(server, (struct sockaddr *)address, &length);
	return server;
}

static struct sockaddr_un full_path;
static struct sockaddr_in full_port;

static void *wait_unix(void *unused)
{
	int client = socket(AF_UNIX, SOCK_STREAM, 0);
	connect(client, (struct sockaddr *)&full_path, path_address(&full_path, "full"));
	pause();
	return unused;
}

static void *wait_tcp(void *unused)
{
	int client = socket(AF_INET, SOCK_STREAM, 0);
	connect(client, (struct sockaddr *)&full_port, sizeof full_port);
	pause();
	return unused;
}

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void handle(int signal)
{
	(void)signal;
}

static long fill_queue(void)
{
	long result = 0;
	for (int i = 0; i < 8 && result == 0; i++) {
		int client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		result = connect(client, (struct sockaddr *)&full_path, path_address(&full_path, "full"));
	}
	return result;
}

/* A signal ends a wait, or does not, as its handler says; a limit of the socket's does. */
static void interrupted(int server)
{
	struct sigaction once = { .sa_handler = handle }, again = { .sa_handler = handle, .sa_flags = SA_RESTART };
	/* Again and again: the first may come before the call that it is to interrupt. */
	struct itimerval soon = { .it_value = { .tv_usec = 50000 }, .it_interval = { .tv_usec = 50000 } }, never = { 0 };
	struct timeval limit = { .tv_usec = 50000 };
	socklen_t length = path_address(&full_path, "full");
	int client = socket(AF_UNIX, SOCK_STREAM, 0);
	sigaction(SIGALRM, &once, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	tell("signal", connect(client, (struct sockaddr *)&full_path, length));
	setitimer(ITIMER_REAL, &never, NULL);
	setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	tell("limit", connect(client, (struct sockaddr *)&full_path, length));
	sigaction(SIGALRM, &again, NULL);
	limit = (struct timeval){ .tv_sec = 20 };
	setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	setitimer(ITIMER_REAL, &soon, NULL);
	tell("signal-within-limit", connect(client, (struct sockaddr *)&full_path, length));
	setitimer(ITIMER_REAL, &never, NULL);
	client = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fork() == 0) {
		usleep(300000);
		accept(server, NULL, NULL);
		_exit(0);
	}
	setitimer(ITIMER_REAL, &soon, NULL);
	tell("restarted", connect(client, (struct sockaddr *)&full_path, length));
	setitimer(ITIMER_REAL, &never, NULL);
	wait(NULL);
}

/* waiting THREADS: so many wait in a connect, and nobody else waits with them. */
int waiting(int argc, char **argv)
{
	pthread_attr_t small;
	pthread_t thread;
	int server = listen_at("full", SOCK_STREAM, 0);
	(void)argc;
	tell("full", fill_queue());
	interrupted(server);
	tell("full-again", fill_queue());
	if (tcp_listener(&full_port) < 0)
		return 3;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 65536);
	for (long i = 0; i < number(argv[0]); i++)
		pthread_create(&thread, &small, i % 2 ? wait_unix : wait_tcp, NULL);
	usleep(200000);
	double before = seconds();
	for (int i = 0; i < 20; i++) {
		struct sockaddr_in address;
		int listener_ = tcp_listener(&address), client = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(client, (struct sockaddr *)&address, sizeof address) < 0)
			return 4;
		close(client);
		close(listener_);
	}
	char *const words[] = { "true", NULL };
	tell_exec("exec", "/bin/true", words, environ);
	errno = EAGAIN;
	/* Those who wait would wait for ever. */
	tell("others-in-time", seconds() - before < 30 ? 0 : -1);
	/* And it ends, with all who wait. */
	return 0;
}

static volatile int told_to_try_again;

static void *wait_or_be_told(void *unused)
{
	int client = socket(AF_UNIX, SOCK_STREAM, 0);
	if (connect(client, (struct sockaddr *)&full_path, path_address(&full_path, "full")) < 0 && errno == EAGAIN)
		__atomic_add_fetch(&told_to_try_again, 1, __ATOMIC_SEQ_CST);
	pause();
	return unused;
}

/* Has so many threads of a process wait in a connect, and says how many did not have to, `some` at least. */
static int crowd_of(long threads, int some)
{
	int told = 0;
	int ends[2];
	if (pipe(ends) < 0)
		_exit(3);
	pid_t child = fork();
	if (child == 0) {
		pthread_attr_t small;
		pthread_t thread;
		pthread_attr_init(&small);
		pthread_attr_setstacksize(&small, 65536);
		for (long i = 0; i < threads; i++)
			pthread_create(&thread, &small, wait_or_be_told, NULL);
		for (int i = 0; i < 300 && told_to_try_again < some; i++)
			usleep(100000);
		/* Nobody tells that all others wait. */
		sleep(1);
		if (write(ends[1], (void *)&told_to_try_again, sizeof(int)) < 0)
			_exit(3);
		pause();
	}
	if (read(ends[0], &told, sizeof told) < 0)
		_exit(3);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return told;
}

/* queued MOST: so many wait, whoever comes besides is told to try again, and who is killed leaves its place. */
int queued(int argc, char **argv)
{
	long all = (argc > 0 ? number(argv[0]) : 0) + 20;
	int told = 0;
	if (listen_at("full", SOCK_STREAM, 0) < 0)
		return 3;
	fill_queue();
	printf("told %d\n", crowd_of(all, 20));
	/* It is seen at the next look that they are gone, and a busy machine looks later. */
	for (int i = 0; i < 5 && told != 20; i++) {
		sleep(1);
		told = crowd_of(all, 20);
	}
	printf("told-then %d\n", told);
	return 0;
}

/* network: non-blocking connects, and a server that answers. */
int network(int argc, char **argv)
{
	(void)argc, (void)argv;
	struct sockaddr_in address;
	int server = tcp_listener(&address), client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error = 1;
	socklen_t length = sizeof error;
	tell("begun", connect(client, (struct sockaddr *)&address, sizeof address));
	int accepted = accept(server, NULL, NULL);
	getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &length);
	errno = error;
	tell("done", error ? -1 : 0);
	tell("again", connect(client, (struct sockaddr *)&address, sizeof address));
	tell("once-more", connect(client, (struct sockaddr *)&address, sizeof address));
	tell("answer", write(accepted, "x", 1));
	int udp = socket(AF_INET, SOCK_DGRAM, 0);
	tell("udp", connect(udp, (struct sockaddr *)&address, sizeof address));
	address.sin_family = AF_UNSPEC;
	tell("udp-disconnect", connect(udp, (struct sockaddr *)&address, sizeof address));
	return 0;
}
