/* Clients of a session with a gate, none of which knows of it; and what else might lead out. */
#include "attack.h"
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { LONGEST = 65536, PATIENCE = 20 };

static void say_word(const char *what, const char *word)
{
	printf("%s %s\n", what, word);
	fflush(stdout);
}

/* Connects as clients do, by name or by address; says what came of both steps. */
static int connected(const char *host, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	int failed = getaddrinfo(host, port, &hints, &found);
	say_word("lookup", failed == 0 ? "ok" : failed == EAI_NONAME || failed == EAI_NODATA ? "none" : gai_strerror(failed));
	if (failed)
		return -1;
	int socket_ = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = { .tv_sec = PATIENCE };
	setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	int result = connect(socket_, found->ai_addr, found->ai_addrlen);
	tell("connect", result);
	freeaddrinfo(found);
	return result < 0 ? -1 : socket_;
}

/* Everything that comes until the other side closes. */
static size_t answer(int socket_, char *into)
{
	size_t length = 0;
	ssize_t some;
	while (length < LONGEST && (some = read(socket_, into + length, LONGEST - length)) > 0)
		length += (size_t)some;
	into[length] = 0;
	return length;
}

/* http HOST PORT METHOD PATH [NAME-OF-HOST]: one request, and what of the answer shows who gave it. */
int http(int argc, char **argv)
{
	static char request[4096], text[LONGEST + 1], rule[256];
	int socket_ = connected(argv[0], argv[1]);
	if (socket_ < 0)
		return 0;
	int length = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", argv[2],
			      argv[3], argc > 4 ? argv[4] : argv[0]);
	if (write(socket_, request, (size_t)length) < 0 || answer(socket_, text) == 0) {
		say_word("status", "none");
		return 0;
	}
	int status = 0;
	sscanf(text, "HTTP/1.1 %d", &status);
	printf("status %d\n", status);
	const char *said = strstr(text, "\"rule\":");
	if (said && sscanf(said, "\"rule\": \"%250[^\"]", rule) == 1)
		say_word("rule", rule);
	else if (said && sscanf(said, "\"rule\":\"%250[^\"]", rule) == 1)
		say_word("rule", rule);
	say_word("reached", strstr(text, "\r\n\r\nreached") ? "ok" : "no");
	return 0;
}

/* raw HOST PORT TEXT: something else than a request. */
int raw(int argc, char **argv)
{
	static char text[LONGEST + 1];
	(void)argc;
	int socket_ = connected(argv[0], argv[1]);
	if (socket_ < 0)
		return 0;
	tell("sent", write(socket_, argv[2], strlen(argv[2])));
	shutdown(socket_, SHUT_WR);
	say_word("answer", answer(socket_, text) ? "some" : "none");
	return 0;
}

static size_t question(unsigned char *into, const char *name)
{
	static const unsigned char head[12] = { 0x12, 0x34, 1, 0, 0, 1 };
	unsigned char *end = into + sizeof head;
	memcpy(into, head, sizeof head);
	while (*name) {
		size_t length = strcspn(name, ".");
		*end++ = (unsigned char)length;
		memcpy(end, name, length);
		end += length;
		name += length + (name[length] == '.');
	}
	static const unsigned char tail[5] = { 0, 0, 1, 0, 1 }; /* A, IN */
	memcpy(end, tail, sizeof tail);
	return (size_t)(end + sizeof tail - into);
}

/* resolve SERVER NAME: asks one server by itself, over UDP and over TCP. */
int resolve(int argc, char **argv)
{
	static unsigned char asked[512], answered[LONGEST + 1];
	(void)argc;
	struct sockaddr_in server = { .sin_family = AF_INET, .sin_port = htons(53) };
	struct timeval patience = { .tv_sec = PATIENCE };
	inet_pton(AF_INET, argv[0], &server.sin_addr);
	size_t length = question(asked + 2, argv[1]);
	asked[0] = (unsigned char)(length >> 8);
	asked[1] = (unsigned char)length;
	for (int over_tcp = 0; over_tcp < 2; over_tcp++) {
		const char *what = over_tcp ? "tcp" : "udp";
		int socket_ = socket(AF_INET, over_tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
		setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
		const unsigned char *from = over_tcp ? asked : asked + 2;
		int head = over_tcp ? 2 : 0;
		if (connect(socket_, (struct sockaddr *)&server, sizeof server) < 0 ||
		    write(socket_, from, length + (size_t)head) < 0 || read(socket_, answered, LONGEST) < head + 4)
			tell(what, -1);
		else
			printf("%s rcode-%d\n", what, answered[head + 3] & 15);
	}
	return 0;
}

static long datagram(const char *host, int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	inet_pton(AF_INET, host, &address.sin_addr);
	int socket_ = socket(AF_INET, SOCK_DGRAM, 0);
	struct pollfd heard = { .fd = socket_, .events = POLLIN };
	if (connect(socket_, (struct sockaddr *)&address, sizeof address) < 0 || write(socket_, "reached", 7) < 0)
		return -1;
	poll(&heard, 1, 1000);
	char byte;
	return recv(socket_, &byte, 1, MSG_DONTWAIT);
}

/* datagrams PORT: to anywhere, and to the host's loopback. */
int datagrams(int argc, char **argv)
{
	(void)argc;
	tell("quic", datagram("192.0.2.1", 443));
	tell("time", datagram("192.0.2.1", 123));
	tell("loopback", datagram("127.0.0.1", (int)number(argv[0])));
	return 0;
}

static long bound(int type, int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int one = 1, socket_ = socket(AF_INET, type, 0);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(socket_, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	return bind(socket_, (struct sockaddr *)&address, sizeof address);
}

static long option(int level, int name)
{
	int one = 1;
	return setsockopt(socket(AF_INET, SOCK_STREAM, 0), level, name, &one, sizeof one);
}

/* Takes away the route by which every address is local, or makes another. */
static long route(int kind, int flags)
{
	struct {
		struct nlmsghdr head;
		struct rtmsg route;
		struct rtattr link;
		int index;
	} message = {
		.head = { .nlmsg_len = sizeof message, .nlmsg_type = (uint16_t)kind, .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags) },
		.route = { .rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_STATIC, .rtm_scope = RT_SCOPE_HOST, .rtm_type = RTN_LOCAL },
		.link = { .rta_len = RTA_LENGTH(sizeof(int)), .rta_type = RTA_OIF },
		.index = 1,
	};
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char rest[256];
	} said;
	int socket_ = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE);
	if (socket_ < 0 || send(socket_, &message, sizeof message, 0) < 0 || recv(socket_, &said, sizeof said, 0) < 0)
		return -1;
	errno = -said.error.error;
	return said.error.error ? -1 : 0;
}

static long loopback_down(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	return ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &request);
}

/* undo: every right that would be needed to get past the gate, or into its place. */
int undo(int argc, char **argv)
{
	(void)argc, (void)argv;
	tell("rules", socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER));
	tell("route-away", route(RTM_DELROUTE, 0));
	tell("route-more", route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND));
	tell("loopback-down", loopback_down());
	tell("transparent", option(IPPROTO_IP, 19));
	tell("mark", option(SOL_SOCKET, SO_MARK));
	tell("lookups", bound(SOCK_DGRAM, 53));
	tell("lookups-tcp", bound(SOCK_STREAM, 53));
	tell("connections", bound(SOCK_STREAM, 1));
	tell("network", unshare(CLONE_NEWUSER | CLONE_NEWNET));
	tell("packets", socket(AF_INET, SOCK_RAW, IPPROTO_TCP));
	tell("neighbour", bound(SOCK_STREAM, 0));
	return 0;
}

/* fastopen ADDRESS PORT: connects by sending, so that no connect is called. */
int fastopen(int argc, char **argv)
{
	static char text[LONGEST + 1];
	static const char request[] = "GET /fast HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n";
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_INET }, *found;
	(void)argc;
	if (getaddrinfo(argv[0], argv[1], &hints, &found) != 0)
		return 1;
	int socket_ = socket(AF_INET, SOCK_STREAM, 0);
	tell("sent", sendto(socket_, request, sizeof request - 1, MSG_FASTOPEN, found->ai_addr, found->ai_addrlen) > 0 ? 0 : -1);
	say_word("answer", answer(socket_, text) ? "some" : "none");
	return 0;
}

/* handed-on HOST PORT PROGRAM...: connects, and becomes a program that has the connection as its standard input. */
int handed_on(int argc, char **argv)
{
	(void)argc;
	int socket_ = connected(argv[0], argv[1]);
	if (socket_ < 0 || fcntl(socket_, F_SETFD, 0) < 0 || dup2(socket_, 0) < 0)
		return 1;
	execv(argv[2], argv + 2);
	return 1;
}

/* The socket over which something was said last. */
static int speaking;

/* Says something to an address over one protocol, and waits for what comes of a datagram. */
static long said(int family, int type, int protocol, const char *host, int port)
{
	struct sockaddr_storage address = { .ss_family = (sa_family_t)family };
	struct sockaddr_in *four = (struct sockaddr_in *)&address;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address;
	int socket_ = speaking = socket(family, type, protocol);
	if (socket_ < 0)
		return -1;
	four->sin_port = htons((uint16_t)port);
	inet_pton(family, host, family == AF_INET ? (void *)&four->sin_addr : (void *)&six->sin6_addr);
	struct timeval patience = { .tv_sec = PATIENCE };
	setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (connect(socket_, (struct sockaddr *)&address, family == AF_INET ? sizeof *four : sizeof *six) < 0)
		return -1;
	if (write(socket_, "reached", 7) < 0)
		return -1;
	struct pollfd heard = { .fd = socket_, .events = POLLIN };
	char byte;
	return type != SOCK_DGRAM ? 0 : poll(&heard, 1, 1000) < 0 ? -1 : recv(socket_, &byte, 1, MSG_DONTWAIT);
}

/* protocols PORT: whatever else than TCP and UDP has ports, or has none, and rights that would lead past the gate. */
int protocols(int argc, char **argv)
{
	int port = (int)number(argv[0]), one = 1;
	static const char lo[] = "lo";
	(void)argc;
	tell("sctp", said(AF_INET, SOCK_STREAM, 132, "203.0.113.7", port));
	tell("sctp-many", said(AF_INET, SOCK_SEQPACKET, 132, "203.0.113.7", port));
	tell("dccp", said(AF_INET, 6, 33, "203.0.113.7", port));
	tell("udplite", said(AF_INET, SOCK_DGRAM, 136, "203.0.113.7", port));
	tell("raw", said(AF_INET, SOCK_RAW, 253, "203.0.113.7", port));
	tell("raw-6", said(AF_INET6, SOCK_RAW, 253, "2001:db8::7", port));
	tell("ping", said(AF_INET, SOCK_DGRAM, 1, "203.0.113.7", port));
	tell("quic-6", said(AF_INET6, SOCK_DGRAM, 0, "2001:db8::7", 443));
	tell("mark", setsockopt(socket(AF_INET, SOCK_STREAM, 0), SOL_SOCKET, SO_MARK, &one, sizeof one));
	tell("transparent-6", setsockopt(socket(AF_INET6, SOCK_STREAM, 0), IPPROTO_IPV6, 75, &one, sizeof one));
	tell("mptcp", said(AF_INET, SOCK_STREAM, 262, "203.0.113.7", port));
	tell("device", setsockopt(socket(AF_INET, SOCK_STREAM, 0), SOL_SOCKET, SO_BINDTODEVICE, lo, sizeof lo));
	return 0;
}

/* resolve-all NAME: asks resolvers of both families, by datagrams and by connections. */
int resolve_all(int argc, char **argv)
{
	static const char *const servers[] = { "8.8.8.8", "169.254.169.254", "127.0.0.53", "::1", "2001:4860:4860::8888", "fd00:ec2::253" };
	static unsigned char asked[512], answered[LONGEST + 1];
	(void)argc;
	size_t length = question(asked + 2, argv[0]);
	asked[0] = (unsigned char)(length >> 8);
	asked[1] = (unsigned char)length;
	for (size_t each = 0; each < 2 * sizeof servers / sizeof *servers; each++) {
		int over_tcp = each % 2, head = over_tcp ? 2 : 0;
		const char *server = servers[each / 2];
		struct addrinfo hints = { .ai_socktype = over_tcp ? SOCK_STREAM : SOCK_DGRAM, .ai_flags = AI_NUMERICHOST }, *found;
		struct timeval patience = { .tv_sec = PATIENCE };
		if (getaddrinfo(server, "53", &hints, &found) != 0)
			return 1;
		int socket_ = socket(found->ai_family, found->ai_socktype, 0);
		setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
		printf("%s%s ", over_tcp ? "tcp-" : "udp-", server);
		if (connect(socket_, found->ai_addr, found->ai_addrlen) < 0 ||
		    write(socket_, over_tcp ? asked : asked + 2, length + (size_t)head) < 0 ||
		    read(socket_, answered, LONGEST) < head + 4)
			printf("%s\n", strerrorname_np(errno));
		else
			printf("rcode-%d\n", answered[head + 3] & 15);
		freeaddrinfo(found);
	}
	return 0;
}

/* take-over: a server of its own at every address, and at every port it may have, hears what is for the gate? */
int take_over(int argc, char **argv)
{
	static char text[LONGEST + 1];
	(void)argc, (void)argv;
	for (int six = 0; six < 2; six++) {
		struct sockaddr_storage address = { .ss_family = six ? AF_INET6 : AF_INET };
		((struct sockaddr_in *)&address)->sin_port = htons(8080);
		int socket_ = socket(address.ss_family, SOCK_STREAM, 0), one = 1;
		setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
		setsockopt(socket_, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
		tell(six ? "everywhere-6" : "everywhere", bind(socket_, (struct sockaddr *)&address, six ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)));
		listen(socket_, 8);
		int met = six ? (int)said(AF_INET6, SOCK_STREAM, 0, "2001:db8::7", 8080) : (int)said(AF_INET, SOCK_STREAM, 0, "203.0.113.7", 8080);
		tell(six ? "said-6" : "said", met);
		shutdown(speaking, SHUT_WR);
		answer(speaking, text); /* the gate closes it */
		struct pollfd heard = { .fd = socket_, .events = POLLIN };
		/* What is turned to the gate was connected to above: it does not come later. */
		say_word(six ? "heard-6" : "heard", poll(&heard, 1, 0) > 0 ? "yes" : "no");
	}
	return 0;
}
