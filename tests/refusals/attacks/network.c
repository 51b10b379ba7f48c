/* Sockets. */
#include "attack.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

static socklen_t fill(struct sockaddr_un *address, const char *name, int is_abstract)
{
	memset(address, 0, sizeof *address);
	address->sun_family = AF_UNIX;
	strncpy(address->sun_path + is_abstract, name, sizeof address->sun_path - 2);
	size_t length = offsetof(struct sockaddr_un, sun_path) + is_abstract + strlen(name);
	return (socklen_t)(is_abstract ? length : length + 1);
}

static long connect_and_send(int type, const char *name, int is_abstract)
{
	struct sockaddr_un address;
	socklen_t length = fill(&address, name, is_abstract);
	int socket_ = socket(AF_UNIX, type, 0);
	if (socket_ < 0 || connect(socket_, (struct sockaddr *)&address, length) < 0)
		return -1;
	return write(socket_, "reached", 7);
}

static long send_to(const char *name, int is_abstract)
{
	struct sockaddr_un address;
	socklen_t length = fill(&address, name, is_abstract);
	struct iovec text = { "reached", 7 };
	struct msghdr message = { .msg_name = &address, .msg_namelen = length, .msg_iov = &text, .msg_iovlen = 1 };
	int socket_ = socket(AF_UNIX, SOCK_DGRAM, 0);
	return sendmsg(socket_, &message, 0);
}

int unix_stream(int argc, char **argv)
{
	(void)argc;
	tell("stream", connect_and_send(SOCK_STREAM, argv[0], 0));
	return 0;
}

int unix_datagram(int argc, char **argv)
{
	(void)argc;
	tell("datagram", connect_and_send(SOCK_DGRAM, argv[0], 0));
	tell("sendmsg", send_to(argv[0], 0));
	return 0;
}

/* abstract NAME: a name that needs no file. */
int abstract(int argc, char **argv)
{
	(void)argc;
	tell("stream", connect_and_send(SOCK_STREAM, argv[0], 1));
	return 0;
}

static long to(int family, int type, int protocol, long port)
{
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	six.sin6_addr = in6addr_loopback;
	int socket_ = socket(family, type, protocol);
	if (socket_ < 0)
		return -1;
	long result = family == AF_INET ?
			      connect(socket_, (struct sockaddr *)&four, sizeof four) :
			      connect(socket_, (struct sockaddr *)&six, sizeof six);
	return result < 0 ? -1 : write(socket_, "reached", 7);
}

static long elsewhere(const char *host, int port, int type)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	inet_pton(AF_INET, host, &address.sin_addr);
	int socket_ = socket(AF_INET, type | SOCK_NONBLOCK, 0);
	return sendto(socket_, "reached", 7, MSG_FASTOPEN * (type == SOCK_STREAM), (struct sockaddr *)&address,
		      sizeof address);
}

/* tcp PORT: the host's loopback, and elsewhere. */
int tcp(int argc, char **argv)
{
	(void)argc;
	long port = number(argv[0]);
	tell("tcp", to(AF_INET, SOCK_STREAM, 0, port));
	tell("tcp6", to(AF_INET6, SOCK_STREAM, 0, port));
	tell("udp", to(AF_INET, SOCK_DGRAM, 0, port));
	tell("mptcp", to(AF_INET, SOCK_STREAM, 262, port));
	tell("elsewhere", elsewhere("192.0.2.1", 80, SOCK_STREAM));
	tell("resolver", elsewhere("192.0.2.1", 53, SOCK_DGRAM));
	tell("metadata", elsewhere("169.254.169.254", 80, SOCK_STREAM));
	return 0;
}

static long opened(int family, int type, int protocol)
{
	long socket_ = syscall(SYS_socket, family, type, protocol);
	if (socket_ >= 0)
		close((int)socket_);
	return socket_;
}

/* sockets: kinds that no network rule would see. */
int sockets(int argc, char **argv)
{
	struct ifaddrs *interfaces = NULL;
	(void)argc, (void)argv;
	tell("mptcp", opened(AF_INET, SOCK_STREAM, 262));
	tell("mptcp6", opened(AF_INET6, SOCK_STREAM, 262));
	tell("sctp", opened(AF_INET, SOCK_STREAM, 132));
	tell("smc-inet", opened(AF_INET, SOCK_STREAM, 256));
	tell("raw", opened(AF_INET, SOCK_RAW, 1));
	tell("raw6", opened(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, 58));
	tell("packet", opened(AF_PACKET, SOCK_DGRAM, 0));
	tell("old-packet", opened(AF_INET, 10, 0));
	tell("vsock", opened(40, SOCK_STREAM, 0));
	tell("alg", opened(38, SOCK_SEQPACKET, 0));
	tell("key", opened(15, SOCK_RAW, 2));
	tell("bluetooth", opened(31, SOCK_RAW, 1));
	tell("smc", opened(43, SOCK_STREAM, 0));
	tell("xdp", opened(44, SOCK_RAW, 0));
	tell("tipc", opened(30, SOCK_STREAM, 0));
	tell("netlink-audit", opened(AF_NETLINK, SOCK_DGRAM, 9));
	tell("netlink-netfilter", opened(AF_NETLINK, SOCK_DGRAM, 12));
	tell("netlink-uevent", opened(AF_NETLINK, SOCK_DGRAM, 15));
	tell("netlink-raw", opened(AF_NETLINK, SOCK_RAW, 9));
#ifdef __x86_64__
	tell("wide-family", syscall(SYS_socket, 0x100000000UL | AF_PACKET, SOCK_DGRAM, 0));
	tell("wide-type", syscall(SYS_socket, AF_INET, 0x100000000UL | SOCK_RAW, 1));
	tell("wide-protocol", syscall(SYS_socket, AF_INET, SOCK_STREAM, 0x100000000UL | 262));
#endif
	tell("neighbour-tcp", opened(AF_INET, SOCK_STREAM, 0));
	tell("neighbour-unix", opened(AF_UNIX, SOCK_STREAM, 0));
	tell("neighbour-route", opened(AF_NETLINK, SOCK_DGRAM, 0));
	tell("neighbour-interfaces", getifaddrs(&interfaces) == 0 && interfaces != NULL ? 0 : -1);
	return 0;
}

static long found(int family, const char *name)
{
	struct addrinfo hints = { .ai_family = family, .ai_flags = AI_ADDRCONFIG }, *first = NULL;
	return getaddrinfo(name, NULL, &hints, &first) == 0 ? 0 : -1;
}

/* lookups: of what needs no network, by whoever asks for a family that the machine has an address of. */
int lookups(int argc, char **argv)
{
	(void)argc, (void)argv;
	tell("four", found(AF_INET, "127.0.0.1"));
	tell("localhost", found(AF_INET, "localhost"));
	tell("six", found(AF_INET6, "::1"));
	return 0;
}
