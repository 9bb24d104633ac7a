/* What a worker may still ask of the kernel: an allow-list, the same for all its threads. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sluice.h"

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#error "confine.c knows x86_64 and aarch64"
#endif

/* Newer than the C library's headers; calls from 424 on have one number everywhere. */
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
/* Before 5.16 a filter turns store bypass off, which costs; no foreign code shares this process. */
#ifndef SECCOMP_FILTER_FLAG_SPEC_ALLOW
#define SECCOMP_FILTER_FLAG_SPEC_ALLOW (1UL << 2)
#endif
#ifndef SECCOMP_FILTER_FLAG_TSYNC_ESRCH
#define SECCOMP_FILTER_FLAG_TSYNC_ESRCH (1UL << 4)
#endif

/*
 * Whatever the arguments: nothing here reaches beyond the process and the descriptors it
 * holds. The kernel remembers such calls in a bitmap and runs no filter for them (5.11),
 * so all calls of the packet thread's loop belong here and none below.
 */
static const uint32_t always[] = {
	SYS_sendmmsg,
	SYS_recvmsg,
	SYS_recvmmsg,
	SYS_ppoll,
	SYS_getsockopt,
	SYS_futex,
	SYS_epoll_pwait,
	SYS_epoll_pwait2,
	SYS_epoll_ctl,
	SYS_epoll_create1,
	SYS_eventfd2,
	SYS_timerfd_create,
	SYS_timerfd_settime,
	SYS_timerfd_gettime,
	SYS_pipe2,
	SYS_dup,
	SYS_read,
	SYS_readv,
	SYS_pread64,
	SYS_write,
	SYS_writev,
	SYS_close,
	SYS_lseek,
	SYS_sendto,
	SYS_sendmsg,
	SYS_recvfrom,
	SYS_connect,
	SYS_shutdown,
	SYS_getsockname,
	SYS_getpeername,
	SYS_mmap,
	SYS_munmap,
	SYS_mprotect,
	SYS_mremap,
	SYS_madvise,
	SYS_brk,
	SYS_membarrier,
	SYS_fstat,
	SYS_newfstatat,
	SYS_statx,
	SYS_statfs,
	SYS_fstatfs,
	SYS_faccessat,
	SYS_readlinkat,
	SYS_getcwd,
	SYS_sched_yield,
	SYS_sched_getaffinity,
	SYS_sched_getattr,
	SYS_sched_getparam,
	SYS_sched_getscheduler,
	SYS_getcpu,
	SYS_getpriority,
	SYS_nanosleep,
	SYS_clock_nanosleep,
	SYS_clock_gettime,
	SYS_clock_getres,
	SYS_gettimeofday,
	SYS_getrandom,
	SYS_getpid,
	SYS_gettid,
	SYS_getppid,
	SYS_getuid,
	SYS_geteuid,
	SYS_getgid,
	SYS_getegid,
	SYS_getrusage,
	SYS_times,
	SYS_sysinfo,
	SYS_uname,
	SYS_rt_sigaction,
	SYS_rt_sigprocmask,
	SYS_rt_sigreturn,
	SYS_rt_sigsuspend,
	SYS_rt_sigtimedwait,
	SYS_sigaltstack,
	SYS_restart_syscall,
	SYS_set_robust_list,
	SYS_set_tid_address,
	SYS_exit,
	SYS_exit_group,
#ifdef SYS_rseq
	SYS_rseq,
#endif
#ifdef SYS_faccessat2
	SYS_faccessat2,
#endif
#ifdef SYS_poll /* x86_64 has an older form of some */
	SYS_poll,
	SYS_epoll_wait,
	SYS_stat,
	SYS_lstat,
	SYS_access,
	SYS_readlink,
	SYS_time,
	SYS_arch_prctl,
#endif
};

/* Calls that a C library replaces by an older one, whose arguments a filter can see. */
static const uint32_t not_there[] = { SYS_clone3 };

/* Half an argument, compared under a mask. Both architectures are little-endian. */
struct condition {
	uint32_t offset; /* in struct seccomp_data */
	uint32_t mask;
	uint32_t value;
};

#define ARGUMENT(n) ((uint32_t)offsetof(struct seccomp_data, args) + 8u * (n))
#define IS(n, number)                                        \
	{                                                    \
		ARGUMENT(n), 0xffffffffu, (uint32_t)(number) \
	}
#define BITS(n, bits, number)                                     \
	{                                                         \
		ARGUMENT(n), (uint32_t)(bits), (uint32_t)(number) \
	}
#define NO_POINTER(n)                            \
	IS(n, 0),                                \
	{                                        \
		ARGUMENT(n) + 4u, 0xffffffffu, 0 \
	}
#define CONDITIONS 3u

/* Allowed when all conditions hold; those with mask 0 are none. */
struct rule {
	uint32_t call;
	struct condition when[CONDITIONS];
};

#define SOCKET_TYPE 0xfu /* the rest are SOCK_CLOEXEC and SOCK_NONBLOCK */
#define SOCKET(family, type, protocol)                                             \
	{                                                                          \
		SYS_socket,                                                        \
		{                                                                  \
			IS(0, family), BITS(1, SOCKET_TYPE, type), IS(2, protocol) \
		}                                                                  \
	}
#define WRITING (O_ACCMODE | O_CREAT | O_TRUNC)
#define NEW_NAMESPACE                                                                  \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
	 CLONE_NEWPID | CLONE_NEWNET)
#define THREAD (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)
#define SOCKET_OPTION(level, option)                \
	{                                           \
		SYS_setsockopt,                     \
		{                                   \
			IS(1, level), IS(2, option) \
		}                                   \
	}

static const struct rule rules[] = {
	/* To NATS and to the name servers; and to a supervisor that was started again. */
	SOCKET(AF_INET, SOCK_STREAM, 0),
	SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP),
	SOCKET(AF_INET, SOCK_DGRAM, 0),
	SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_UDP),
	SOCKET(AF_INET6, SOCK_STREAM, 0),
	SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP),
	SOCKET(AF_INET6, SOCK_DGRAM, 0),
	SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_UDP),
	SOCKET(AF_UNIX, SOCK_SEQPACKET, 0),
	/* Of a TCP client. Nothing of level SOL_PACKET, no filter. */
	SOCKET_OPTION(IPPROTO_TCP, TCP_NODELAY),
	SOCKET_OPTION(IPPROTO_TCP, TCP_KEEPIDLE),
	SOCKET_OPTION(IPPROTO_TCP, TCP_KEEPINTVL),
	SOCKET_OPTION(IPPROTO_TCP, TCP_KEEPCNT),
	SOCKET_OPTION(SOL_SOCKET, SO_KEEPALIVE),
	SOCKET_OPTION(SOL_SOCKET, SO_LINGER),
	SOCKET_OPTION(IPPROTO_IPV6, IPV6_RECVERR),
	{ SYS_openat, { BITS(2, WRITING, O_RDONLY) } },
#ifdef SYS_open
	{ SYS_open, { BITS(1, WRITING, O_RDONLY) } },
#endif
	/* Threads, never processes, never in other namespaces. */
	{ SYS_clone, { BITS(0, THREAD | NEW_NAMESPACE, THREAD) } },
	/* Not F_SETOWN and F_SETSIG, which send signals to others. */
	{ SYS_fcntl, { IS(1, F_GETFD) } },
	{ SYS_fcntl, { IS(1, F_SETFD) } },
	{ SYS_fcntl, { IS(1, F_GETFL) } },
	{ SYS_fcntl, { IS(1, F_SETFL) } },
	{ SYS_fcntl, { IS(1, F_DUPFD) } },
	{ SYS_fcntl, { IS(1, F_DUPFD_CLOEXEC) } },
	{ SYS_fcntl, { IS(1, F_GET_SEALS) } },
	{ SYS_ioctl, { IS(1, FIONREAD) } },
	{ SYS_ioctl, { IS(1, FIONBIO) } },
	{ SYS_ioctl, { IS(1, FIOCLEX) } },
	{ SYS_ioctl, { IS(1, TCGETS) } },
	{ SYS_prctl, { IS(0, PR_SET_NAME) } },
	{ SYS_prctl, { IS(0, PR_GET_NAME) } },
	{ SYS_prctl, { IS(0, PR_SET_VMA) } },
	{ SYS_prctl, { IS(0, PR_GET_DUMPABLE) } },
	{ SYS_sched_setattr, { IS(0, 0) } },
	{ SYS_prlimit64, { IS(0, 0), NO_POINTER(2) } },
};

/* Its garbage collector signals its own threads; other workers have the same uid. */
static const uint32_t signals_itself[] = { SYS_kill, SYS_tgkill };

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof((array)[0])))
#define RULE_STEPS   (3u + 3u * CONDITIONS)
#define MAX_STEPS                                       \
	(6u + 2u * (COUNT(always) + COUNT(not_there)) + \
	 RULE_STEPS * (COUNT(rules) + COUNT(signals_itself)))

struct program {
	struct sock_filter steps[MAX_STEPS];
	uint32_t count;
};

static void add(struct program *program, uint16_t code, uint32_t k, uint8_t if_so, uint8_t if_not)
{
	program->steps[program->count++] =
		(struct sock_filter){ .code = code, .jt = if_so, .jf = if_not, .k = k };
}

static void load(struct program *program, uint32_t offset)
{
	add(program, BPF_LD | BPF_W | BPF_ABS, offset, 0, 0);
}

static void answer(struct program *program, uint32_t action)
{
	add(program, BPF_RET | BPF_K, action, 0, 0);
}

static void add_call(struct program *program, uint32_t call, uint32_t action)
{
	add(program, BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1);
	answer(program, action);
}

/* The call's number is loaded before and after. */
static void add_rule(struct program *program, const struct rule *rule)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < CONDITIONS; i++)
		left += rule->when[i].mask ? 3 : 0;
	/* Past the conditions, the answer, and the number's load. */
	add(program, BPF_JMP | BPF_JEQ | BPF_K, rule->call, 0, (uint8_t)(left + 2));
	for (uint32_t i = 0; i < CONDITIONS; i++) {
		const struct condition *when = &rule->when[i];

		if (!when->mask)
			continue;
		left -= 3;
		load(program, when->offset);
		add(program, BPF_ALU | BPF_AND | BPF_K, when->mask, 0, 0);
		add(program, BPF_JMP | BPF_JEQ | BPF_K, when->value, 0, (uint8_t)(left + 1));
	}
	answer(program, SECCOMP_RET_ALLOW);
	load(program, offsetof(struct seccomp_data, nr));
}

static void build(struct program *program)
{
	load(program, offsetof(struct seccomp_data, arch));
	add(program, BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 1, 0);
	answer(program, SECCOMP_RET_ERRNO | EPERM);
	load(program, offsetof(struct seccomp_data, nr));
	for (uint32_t i = 0; i < COUNT(always); i++)
		add_call(program, always[i], SECCOMP_RET_ALLOW);
	for (uint32_t i = 0; i < COUNT(not_there); i++)
		add_call(program, not_there[i], SECCOMP_RET_ERRNO | ENOSYS);
	for (uint32_t i = 0; i < COUNT(rules); i++)
		add_rule(program, &rules[i]);
	for (uint32_t i = 0; i < COUNT(signals_itself); i++) {
		const struct rule rule = { signals_itself[i], { IS(0, getpid()) } };

		add_rule(program, &rule);
	}
	/* The x32 calls of x86_64, too: their numbers fit none. */
	answer(program, SECCOMP_RET_ERRNO | EPERM);
}

/*
 * A fault ends the process at once. JavaScript's engine would write a report first, for some 40 ms
 * in which nobody is at the rings and nobody knows.
 */
static int die_of_faults(void)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
	const struct sigaction by_default = { .sa_handler = SIG_DFL };

	for (uint32_t i = 0; i < COUNT(faults); i++)
		if (sigaction(faults[i], &by_default, NULL))
			return -errno;
	return 0;
}

int sluice_worker_confine(void)
{
	struct program program = { .count = 0 };
	struct sock_fprog handle = { .filter = program.steps };
	int error = die_of_faults();

	if (error)
		return error;
	build(&program);
	handle.len = (unsigned short)program.count;
	/* Other workers have the same uid: none may read this one's memory, nor may a core file. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return -errno;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		    SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH |
			    SECCOMP_FILTER_FLAG_SPEC_ALLOW,
		    &handle))
		return -errno;
	return 0;
}
