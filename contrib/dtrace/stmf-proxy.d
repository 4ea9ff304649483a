#!/usr/sbin/dtrace -s
/*
 * SPDX-License-Identifier: MPL-2.0
 *
 * What passes the STMF proxy door of an illumos node, whichever relay runs there: messages that
 * the kernel hands to the relay (upcalls) and messages that the relay posts, with their ends.
 * `stmf-sim trace import-dtrace` makes a trace of the output. README.md beside this file tells
 * how to use it and what the output means.
 *
 * NOT YET RUN ON ILLUMOS.
 *
 *	dtrace -s stmf-proxy.d -p PID PROCEDURE > capture.txt
 *
 * PROCEDURE is the name of the relay's door server procedure, or a pattern for it.
 *
 * Only what is documented is probed: the ioctl system call that hands a message over, the door
 * server procedure and door_return(3C), and no function of the kernel by name.
 */

#pragma D option quiet
#pragma D option rawbytes
#pragma D option bufsize=32m
#pragma D option switchrate=100ms

/* The ioctl by which a message is posted, PPPT_MESSAGE. */
inline uint32_t POST = 0x50505002;

/*
 * Bytes of a message that are captured: CHUNK in each of the eight clauses below, and TAIL at the
 * end of a longer message. To change them change the clauses too.
 */
inline int CHUNK = 2048;
inline int HEAD = 16384;
inline int TAIL = 64;

/* What a door procedure is called with when nobody holds the door any more: door_create(3C). */
inline uintptr_t UNREFERENCED = 1;

dtrace:::BEGIN
{
	printf("stmf-proxy-dtrace 1\n");
	printf("begin %d %d %d\n", timestamp, walltimestamp, $target);
}

/*
 * A message is posted. The third argument of the ioctl points to version, error, door_fd and
 * buf_size (32 bits each) and the address of the message (64 bits).
 */
syscall::ioctl:entry
/pid == $target && (uint32_t)arg1 == POST/
{
	this->words = (uint32_t *)copyin(arg2, 24);
	self->size = this->words[3];
	self->buffer = *(uint64_t *)(this->words + 4);
	self->started = timestamp;
	self->post = self->started;
	self->dump = 1;
	printf("post %d %d %d\n", self->started, tid, self->size);
}

/*
 * The kernel calls the door: procedure(cookie, argp, arg_size, dp, n_desc).
 */
pid$target::$1:entry
/arg1 == UNREFERENCED/
{
	printf("unreferenced %d %d\n", timestamp, tid);
}

pid$target::$1:entry
/arg1 != UNREFERENCED/
{
	self->size = arg2;
	self->buffer = arg1;
	self->started = timestamp;
	self->upcall = self->started;
	self->dump = 1;
	printf("upcall %d %d %d\n", self->started, tid, self->size);
}

/*
 * The bytes of either, in chunks, because every record has a fixed size. A chunk is always CHUNK
 * bytes long; what is behind the length that the line says means nothing.
 */
syscall::ioctl:entry,
pid$target::$1:entry
/self->dump && self->size > 0/
{
	this->length = self->size < CHUNK ? self->size : CHUNK;
	this->bytes = alloca(2048);
	copyinto(self->buffer, this->length, this->bytes);
	printf("data %d %d %d %d\n", self->started, tid, 0, this->length);
	tracemem(this->bytes, 2048);
}

syscall::ioctl:entry,
pid$target::$1:entry
/self->dump && self->size > 2048/
{
	this->length = self->size - 2048 < CHUNK ? self->size - 2048 : CHUNK;
	this->bytes = alloca(2048);
	copyinto(self->buffer + 2048, this->length, this->bytes);
	printf("data %d %d %d %d\n", self->started, tid, 2048, this->length);
	tracemem(this->bytes, 2048);
}

syscall::ioctl:entry,
pid$target::$1:entry
/self->dump && self->size > 4096/
{
	this->length = self->size - 4096 < CHUNK ? self->size - 4096 : CHUNK;
	this->bytes = alloca(2048);
	copyinto(self->buffer + 4096, this->length, this->bytes);
	printf("data %d %d %d %d\n", self->started, tid, 4096, this->length);
	tracemem(this->bytes, 2048);
}

syscall::ioctl:entry,
pid$target::$1:entry
/self->dump && self->size > 6144/
{
	this->length = self->size - 6144 < CHUNK ? self->size - 6144 : CHUNK;
	this->bytes = alloca(2048);
	copyinto(self->buffer + 6144, this->length, this->bytes);
	printf("data %d %d %d %d\n", self->started, tid, 6144, this->length);
	tracemem(this->bytes, 2048);
}

syscall::ioctl:entry,
pid$target::$1:entry
/self->dump && self->size > 8192/
{
	this->length = self->size - 8192 < CHUNK ? self->size - 8192 : CHUNK;
	this->bytes = alloca(2048);
	copyinto(self->buffer + 8192, this->length, this->bytes);
	printf("data %d %d %d %d\n", self->started, tid, 8192, this->length);
	tracemem(this->bytes, 2048);
}

syscall::ioctl:entry,
pid$target::$1:entry
/self->dump && self->size > 10240/
{
	this->length = self->size - 10240 < CHUNK ? self->size - 10240 : CHUNK;
	this->bytes = alloca(2048);
	copyinto(self->buffer + 10240, this->length, this->bytes);
	printf("data %d %d %d %d\n", self->started, tid, 10240, this->length);
	tracemem(this->bytes, 2048);
}

syscall::ioctl:entry,
pid$target::$1:entry
/self->dump && self->size > 12288/
{
	this->length = self->size - 12288 < CHUNK ? self->size - 12288 : CHUNK;
	this->bytes = alloca(2048);
	copyinto(self->buffer + 12288, this->length, this->bytes);
	printf("data %d %d %d %d\n", self->started, tid, 12288, this->length);
	tracemem(this->bytes, 2048);
}

syscall::ioctl:entry,
pid$target::$1:entry
/self->dump && self->size > 14336/
{
	this->length = self->size - 14336 < CHUNK ? self->size - 14336 : CHUNK;
	this->bytes = alloca(2048);
	copyinto(self->buffer + 14336, this->length, this->bytes);
	printf("data %d %d %d %d\n", self->started, tid, 14336, this->length);
	tracemem(this->bytes, 2048);
}

/*
 * The end of a long message: with it, the message can be decoded but for its data.
 */
syscall::ioctl:entry,
pid$target::$1:entry
/self->dump && self->size > HEAD/
{
	this->offset = self->size - HEAD < TAIL ? HEAD : self->size - TAIL;
	this->length = self->size - this->offset;
	this->bytes = alloca(64);
	copyinto(self->buffer + this->offset, this->length, this->bytes);
	printf("data %d %d %d %d\n", self->started, tid, this->offset, this->length);
	tracemem(this->bytes, 64);
}

syscall::ioctl:entry,
pid$target::$1:entry
/self->dump/
{
	self->dump = 0;
	self->size = 0;
	self->buffer = 0;
	self->started = 0;
}

/* The kernel has handled the post, or refused it. */
syscall::ioctl:return
/self->post/
{
	printf("post-done %d %d %d %d\n", timestamp, tid, self->post, errno);
	self->post = 0;
}

/* The relay answers: door_return(data, size, descriptors, count). A result has 4 bytes. */
pid$target:libc.so.1:door_return:entry
/self->upcall && arg1 == 4/
{
	printf("upcall-done %d %d %d 4 %u\n", timestamp, tid, self->upcall,
	    *(uint32_t *)copyin(arg0, 4));
	self->upcall = 0;
}

pid$target:libc.so.1:door_return:entry
/self->upcall && arg1 != 4/
{
	printf("upcall-done %d %d %d %d 0\n", timestamp, tid, self->upcall, arg1);
	self->upcall = 0;
}

/* Memory that could not be read, as a rule: the chunk is missing. */
dtrace:::ERROR
{
	printf("error %d %d %d\n", timestamp, tid, arg4);
}

dtrace:::END
{
	printf("end %d\n", timestamp);
}
