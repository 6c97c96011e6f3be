internal import UVCore

// Reading: libuv reads into a buffer of the loop's pool as soon as somebody has asked for bytes, and goes on as long as there is room. A task that waits
// is only woken; it takes the bytes itself, after it has looked at its cancellation.

extension StreamCore {
    var available: Int { input?.count ?? 0 }

    /// For a read that may find its bytes there already.
    @inline(never)
    func requireReader() throws {
        if phase != .open { throw closedError("read") }
        if ways == .onlyWriting { throw LoopError.misuse("read", on: "\(peer)", "this end can only be written to") }
        if let reader {
            throw LoopError(.busy, "read", on: "\(peer)", "task \(reader.name) is reading: one task at a time reads a stream")
        }
    }

    /// Waits until there are `count` bytes, or no more will come.
    ///
    /// A connection that is idle stands here, and what this function keeps over the wait is memory of its task: what needs no waiting is in functions of its own, which
    /// are not inlined.
    @inline(__always)
    func waitForInput(_ count: Int, by task: AnyLoopTask) async throws {
        while try beginWaitForInput(count, by: task) {
            await task.park(.leave)
            try endWaitForInput(by: task)
        }
    }

    /// False if there is nothing to wait for.
    @inline(never)
    private func beginWaitForInput(_ count: Int, by task: AnyLoopTask) throws -> Bool {
        if phase != .open { throw closedError("read") }
        if available >= count || inputEnded { return false }
        makeRoom(for: count)
        wasFull = false
        do {
            try transport?.startReading()
        } catch {
            throw LoopError(error, "read", on: "\(peer)")
        }
        reader = task
        wanted = count
        loop.outstanding += 1
        return true
    }

    @inline(never)
    private func endWaitForInput(by task: AnyLoopTask) throws {
        loop.outstanding -= 1
        reader = nil
        if !readsAhead { transport?.stopReading() }
        try task.throwIfInterrupted()
    }

    /// In what is there already, as far as the chunk is large enough for the whole; a larger read lets it grow as it fills.
    private func makeRoom(for count: Int) {
        guard let input else { return }
        let missing = count - input.count
        if input.room == 0 || input.count + input.room < min(count, input.capacity) { input.compact() }
        if input.room == 0 { input.makeRoom(for: min(missing, input.capacity)) }
    }

    // MARK: told by the transport

    /// The chunk is taken from the pool when bytes are there, and goes back when it is empty.
    func inputToFill() -> UVChunk? {
        guard let input else {
            let fresh = loop.chunks.take()
            self.input = fresh
            return fresh
        }
        if isLent { return input.room == 0 ? nil : input }
        if input.room == 0 && input.count <= input.capacity / 2 { input.compact() }
        return input.room == 0 ? nil : input
    }

    func inputArrived(_ count: Int) {
        if count == 0 {
            giveBackIfEmpty()
            return
        }
        guard let reader else { return }
        if available >= wanted {
            reader.wake()
        } else {
            makeRoom(for: wanted)
        }
    }

    /// A reader that was woken empties the buffer before the next event, and a stop and start would cost two system calls. One that does not makes the bytes
    /// wait in the system.
    func inputIsFull() -> Bool {
        if wasFull { return true }
        wasFull = true
        return false
    }

    func inputEnded(_ error: UVError?) {
        giveBackIfEmpty()
        inputEnded = true
        // A write that came first has taken the error from the system, which then has nothing but an end for the reader. After EPIPE it is one: then the peer had ended its
        // half before.
        readError = error ?? writeError.flatMap { $0.name == "EPIPE" ? nil : $0 }
        reader?.wake()
    }

    private func giveBackIfEmpty() {
        guard let chunk = input, chunk.isEmpty, !isLent else { return }
        input = nil
        loop.chunks.give(chunk)
    }

    // MARK: taking

    private func throwReadError() throws(LoopError) {
        if let readError { throw LoopError(readError, "read", on: "\(peer)") }
    }

    /// Nil at the end of the stream.
    @inline(never)
    func takeInput(atMost limit: Int) throws -> [UInt8]? {
        guard let input else {
            try throwReadError()
            return nil
        }
        return take(limit, from: input)
    }

    @inline(never)
    func takeInput(exactly count: Int) throws -> [UInt8] {
        if count == 0 { return [] }
        guard let input, input.count >= count else {
            try throwReadError()
            let available = available
            throw LoopError(
                .unexpectedEnd, "read(exactly: \(count))", on: "\(peer)", "the stream ended after \(available) of \(count) bytes; they can still be read")
        }
        return take(count, from: input)
    }

    private func take(_ count: Int, from input: UVChunk) -> [UInt8] {
        let bytes = input.take(count)
        received?.drop(unread: input.count)
        wasFull = false
        giveBackIfEmpty()
        return bytes
    }

    /// Lets `body` look at the input, and takes as much as it says that it has used. Nil at the end of the stream.
    @inline(never)
    func lendInput(atLeast minimum: Int, by task: AnyLoopTask, _ body: (Span<UInt8>) throws -> Int) throws -> Int? {
        if available < minimum { try throwReadError() }
        guard let input else { return nil }
        // A task that `body` starts eagerly must not move the bytes that it looks at; closing must not give their memory to others.
        reader = task
        isLent = true
        defer {
            reader = nil
            isLent = false
            if phase == .closed { loop.chunks.give(input) } else { giveBackIfEmpty() }
        }
        let count = try input.withBytes(body)
        if count < 0 || count > input.count {
            throw LoopError.misuse("withBytes", on: "\(peer)", "the closure says that it has used \(count) of \(input.count) bytes")
        }
        input.consume(count)
        received?.drop(unread: input.count)
        wasFull = false
        return count
    }
}
