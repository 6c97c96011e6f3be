internal import UVCore

// Writing: the first write of a turn tries the socket at once, if nothing is queued before it. What the system does not take, and what comes later in the same
// turn, is joined in one buffer and sent at the end of the turn. Writes wait before they are admitted, so that a cancelled one has sent nothing.

extension StreamCore {
    /// Everything that needs no waiting. False: use `write`.
    func writeAtOnce(_ bytes: Span<UInt8>) throws -> Bool {
        try requireWritable("write")
        guard writers.isEmpty && pending + bytes.count <= highWater && mayQueue(bytes.count, waits: false) else { return false }
        try admit(bytes)
        return true
    }

    // What happens between the waits is apart from them: a frame that holds less, and swiftc 6.3 crashes when it optimises all of it in one.
    func write(_ bytes: [UInt8], by task: AnyLoopTask) async throws {
        var offset = 0
        writers.append(task)
        while let wait = try beginWriteWait(bytes, from: &offset, by: task) {
            switch wait {
            case .oneTurn: await task.parkForOneTurn()
            case .forRoom: await task.park(.leave)
            }
            try endWriteWait(wait, by: task)
        }
    }

    private enum WriteWait {
        /// A peer that keeps up with a large write must not keep others from running: one attempt a turn.
        case oneTurn
        case forRoom
    }

    /// Nil when all of it is admitted. The task has left the writers then, and when it throws.
    @inline(never)
    private func beginWriteWait(_ bytes: [UInt8], from offset: inout Int, by task: AnyLoopTask) throws -> WriteWait? {
        do {
            while true {
                try requireWritable("write")
                guard writers.first === task else { break }
                if pending == 0 && lastTry == loop.turn { return .oneTurn }
                try admitPart(of: bytes, from: &offset)
                if offset == bytes.count {
                    leaveWriters(task)
                    return nil
                }
                // The system took all there was: nothing is on its way that would wake this task. Or the stream was closed to make room.
                if pending == 0 && charge?.isWaiting != true || phase != .open { continue }
                break
            }
        } catch {
            leaveWriters(task)
            throw error
        }
        loop.outstanding += 1
        return .forRoom
    }

    @inline(never)
    private func endWriteWait(_ wait: WriteWait, by task: AnyLoopTask) throws {
        if wait == .forRoom { loop.outstanding -= 1 }
        do {
            try task.throwIfInterrupted()
        } catch {
            leaveWriters(task)
            throw error
        }
    }

    func leaveWriters(_ task: AnyLoopTask) {
        if let charge, writers.first === task { charge.abandonTicket() }
        writers.remove(task)
        writers.first?.wake()
    }

    /// As much as can be admitted now: all or nothing, unless it is more than can ever be.
    func admitPart(of bytes: [UInt8], from offset: inout Int) throws {
        let span = bytes.span
        if bytes.count - offset > highWater && pending == 0 {
            offset += try tryNow(span.extracting(offset..<bytes.count))
        }
        let rest = bytes.count - offset
        if rest == 0 { return }
        if rest <= highWater {
            if pending + rest > highWater || !mayQueue(rest, waits: true) { return }
            try admit(span.extracting(offset..<bytes.count))
            offset = bytes.count
        } else {
            let part = highWater - pending
            if part <= 0 || !mayQueue(part, waits: true) { return }
            enqueue(span.extracting(offset..<(offset + part)))
            offset += part
            flushJoined()
        }
    }

    /// Whether the process's budget has room for so many bytes. If not, and the caller `waits`, the first writer is woken when it has.
    func mayQueue(_ count: Int, waits: Bool) -> Bool {
        if charge == nil {
            if !loop.budgetAccount.budget.isLimited { return true }
            charge = BudgetCharge(self)
        }
        return charge?.take(count, waits: waits) ?? true
    }

    func admit(_ bytes: Span<UInt8>) throws {
        if pending == 0 && lastTry != loop.turn {
            let written = try tryNow(bytes)
            if written < bytes.count {
                enqueue(bytes.extracting(written..<bytes.count))
                startWriting()
            }
            charge?.settle(pending)
            return
        }
        enqueue(bytes)
        if inFlight == nil && !isFlushScheduled {
            isFlushScheduled = true
            loop.atEndOfTurn.append(self)
        }
    }

    /// Nothing must be queued.
    private func tryNow(_ bytes: Span<UInt8>) throws -> Int {
        lastTry = loop.turn
        do {
            return try transport?.tryWrite(bytes) ?? 0
        } catch {
            fail(error)
            throw LoopError(error, "write", on: "\(peer)")
        }
    }

    private func enqueue(_ bytes: Span<UInt8>) {
        let chunk: UVChunk
        if let joined {
            chunk = joined
        } else {
            chunk = loop.chunks.take()
            joined = chunk
        }
        chunk.append(bytes)
        pending += bytes.count
        admitted &+= UInt64(bytes.count)
    }

    /// Sends what was joined; what the system does not take waits until it does.
    func flushJoined() {
        guard inFlight == nil, let chunk = joined, let transport else { return }
        do throws(UVError) {
            let written = try chunk.withBytes { bytes throws(UVError) in try transport.tryWrite(bytes) }
            chunk.consume(written)
            pending -= written
            charge?.settle(pending)
        } catch {
            fail(error)
            return
        }
        if chunk.isEmpty {
            joined = nil
            loop.chunks.give(chunk)
            drained()
        } else {
            startWriting()
        }
    }

    private func startWriting() {
        guard inFlight == nil, let chunk = joined.take(), let transport else { return }
        do {
            try transport.write(chunk)
            inFlight = chunk
        } catch {
            loop.chunks.give(chunk)
            fail(error)
        }
    }

    func outputWritten(_ chunk: UVChunk, _ error: UVError?) {
        inFlight = nil
        if error == nil {
            pending -= chunk.count
            charge?.settle(pending)
        }
        loop.chunks.give(chunk)
        if let error {
            fail(error)
            return
        }
        startWriting()
        drained()
    }

    /// There is room, and perhaps nothing left.
    private func drained() {
        writers.first?.wake()
        flushers.wakeAll()
        if pending == 0 {
            shutDownIfAsked()
            wakeClosers()
        }
    }

    /// The peer is gone: whatever was to be sent is lost.
    func fail(_ error: UVError) {
        writeError = writeError ?? error
        if pending > 0 { hasUntoldLoss = true }
        pending = 0
        charge?.settle(0)
        if let chunk = joined.take() { loop.chunks.give(chunk) }
        writers.wakeAll()
        flushers.wakeAll()
        wakeClosers()
    }

    /// What a write failed with is what every later call on that side says.
    private func throwWriteError() throws(LoopError) {
        guard let writeError else { return }
        hasUntoldLoss = false
        throw LoopError(writeError, "write", on: "\(peer)")
    }

    func throwUntoldLoss() throws(LoopError) {
        if hasUntoldLoss { try throwWriteError() }
    }

    func requireWritable(_ operation: String) throws {
        try throwWriteError()
        if phase != .open { throw closedError(operation) }
        if ways == .onlyReading { throw LoopError.misuse(operation, on: "\(peer)", "this end can only be read from") }
        if isWriteClosed { throw LoopError(.closed, operation, on: "\(peer)", "closeWrite() was called") }
    }

    // MARK: flush, half-close

    func flush(by task: AnyLoopTask) async throws {
        let target = admitted
        flushJoined()
        while try beginFlush(upTo: target, by: task) {
            await task.park(.leave)
            try endFlush(by: task)
        }
    }

    /// False if that much is with the system.
    @inline(never)
    private func beginFlush(upTo target: UInt64, by task: AnyLoopTask) throws -> Bool {
        try throwWriteError()
        if admitted &- UInt64(pending) >= target { return false }
        if phase == .closed { throw closedError("flush") }
        flushers.append(task)
        loop.outstanding += 1
        return true
    }

    @inline(never)
    private func endFlush(by task: AnyLoopTask) throws {
        loop.outstanding -= 1
        flushers.remove(task)
        try task.throwIfInterrupted()
    }

    func closeWrite() throws {
        if isWriteClosed && phase == .open { return }
        try requireWritable("closeWrite")
        isWriteClosed = true
        writers.wakeAll()
        flushJoined()
        shutDownIfAsked()
        try throwWriteError()
    }

    private func shutDownIfAsked() {
        guard isWriteClosed, !isShutDown, pending == 0, writeError == nil, let transport else { return }
        isShutDown = true
        if let endWriting {
            endWriting()
            return
        }
        do {
            try transport.shutdownWriting()
        } catch {
            fail(error)
        }
    }
}

extension StreamCore: EndOfTurnWork {
    func turnEnded() {
        isFlushScheduled = false
        flushJoined()
    }
}
