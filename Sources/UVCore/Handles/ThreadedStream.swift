internal import CLibUV
internal import Glibc

/// One direction of a descriptor that cannot be made non-blocking, or that epoll does not know: regular files, `/dev/null`, and what is shared with other processes and
/// cannot be opened once more. A thread waits for it in poll(2), and reads or writes.
///
/// No flag of the descriptor is changed. What others do with the same pipe or terminal in the moment between poll and read may let the thread wait longer, never
/// the loop.
@safe public final class ThreadedStream: UVHandle {
    private var owner: (any StreamOwner)?
    private let pool: UVChunkPool
    private let worker: Worker
    private let queue = WorkQueue(limit: 1, idleSeconds: 2)
    public var isReading: Bool { reading }
    private var reading = false
    private var isRunning = false
    /// What the thread has read, as far as the owner had no room for it or did not want it any more.
    private var held: ArraySlice<UInt8> = []
    private var ended: Result<Void, UVError>?
    private var writing: UVChunk?

    /// Takes over a descriptor, which stays as it is; on an error it is closed.
    public init(_ descriptor: consuming Descriptor, _ kind: DescriptorKind, loop: UVLoop, pool: UVChunkPool) throws(UVError) {
        self.pool = pool
        let bell = clibuv_eventfd()
        try Sockets.check(bell, "eventfd")
        worker = Worker(descriptor, kind, bell: Descriptor(owning: bell))
        try unsafe super.init(loop: loop, type: UV_ASYNC, call: "uv_async_init") { raw in
            unsafe uv_async_init(loop.pointer, raw.assumingMemoryBound(to: uv_async_t.self)) { handle in
                guard let handle = unsafe handle else { return }
                unsafe ThreadedStream.recover(handle).jobEnded()
            }
        }
    }

    /// Before anything else is asked of the stream.
    public func attach(_ owner: any StreamOwner) { self.owner = owner }

    public var descriptor: Int32 { isClosing ? -1 : worker.descriptor.number }

    private func send() {
        // Fails only on a handle of another type.
        unsafe _ = uv_async_send(UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: uv_async_t.self))
    }

    private func run(_ job: @escaping @Sendable (Worker) -> Outcome) throws(UVError) {
        // SAFETY: not retained, so that the thread is never the one to let go of it; it lives until it is closed, and `end` does not notify after that.
        nonisolated(unsafe) let stream = unsafe Unmanaged.passUnretained(self)
        worker.begin()
        _ = try queue.submit { [worker] in
            let outcome = job(worker)
            worker.end(outcome) { unsafe stream._withUnsafeGuaranteedRef { $0.send() } }
        }
        isRunning = true
    }

    private func jobEnded() {
        guard let outcome = worker.takeOutcome() else { return }
        isRunning = false
        switch outcome {
        case .stopped: break
        case .read(let bytes): held = bytes[...]
        case .ended: ended = .success(())
        case .failed(let error):
            if writing == nil { ended = .failure(error) } else { didWrite(error) }
        case .wrote: didWrite(nil)
        }
        deliver()
    }

    // MARK: reading

    public func startReading() throws(UVError) {
        if reading || isClosing { return }
        reading = true
        if isRunning {
            worker.resume()
        } else if !held.isEmpty || ended != nil {
            // Not before this call has returned.
            worker.end(.stopped) { send() }
        } else {
            do throws(UVError) {
                try run { $0.read() }
            } catch {
                reading = false
                throw error
            }
        }
    }

    public func stopReading() {
        if !reading || isClosing { return }
        reading = false
        worker.stop()
    }

    private func deliver() {
        while reading, !held.isEmpty, let owner {
            guard let chunk = owner.chunkToFill() else {
                reading = false
                return
            }
            let part = held.prefix(chunk.room)
            chunk.append(part.span)
            held = held.dropFirst(part.count)
            owner.streamDidRead(part.count)
        }
        guard reading, held.isEmpty, let owner else { return }
        if let ended {
            reading = false
            switch ended {
            case .success: owner.streamReadingEnded(nil)
            case .failure(let error): owner.streamReadingEnded(error)
            }
            return
        }
        if isRunning { return }
        do throws(UVError) {
            try run { $0.read() }
        } catch {
            reading = false
            owner.streamReadingEnded(error)
        }
    }

    // MARK: writing

    /// Nothing is written at once: all of it is the thread's to do.
    public func tryWrite(_ bytes: Span<UInt8>) throws(UVError) -> Int {
        if isClosing { throw UVError(code: UV_ECANCELED.rawValue, call: "write") }
        return 0
    }

    /// Queues a chunk, which belongs to the stream until `streamDidWrite`. One at a time.
    public func write(_ chunk: UVChunk) throws(UVError) {
        precondition(writing == nil, "AsyncUV: two writes are queued on a stream")
        if isClosing { throw UVError(code: UV_ECANCELED.rawValue, call: "write") }
        // The thread may outlive the stream, so it has bytes of its own.
        let bytes = unsafe [UInt8](chunk.bytes)
        try run { $0.write(bytes) }
        writing = chunk
    }

    private func didWrite(_ error: UVError?) {
        guard let chunk = writing.take() else { return }
        owner?.streamDidWrite(chunk, error)
    }

    /// There is no other side to be told.
    public func shutdownWriting() throws(UVError) {}

    public func set(_ option: SocketOption) throws(UVError) { throw UVError.notSupported("setsockopt") }

    public func reset() { close() }

    public override func willClose() {
        worker.close()
        if let chunk = writing.take() { pool.give(chunk) }
        let owner = self.owner
        self.owner = nil
        owner?.streamWillClose()
    }
}

private enum Outcome: Sendable {
    case stopped
    case read([UInt8])
    case ended
    case wrote
    case failed(UVError)
}

/// The thread's side. Lives as long as a job of it, however long the system takes.
private final class Worker: @unchecked Sendable {
    // Sendable: the descriptors are constant, the rest is behind the lock.
    let descriptor: Descriptor
    private let kind: DescriptorKind
    /// Readable when the thread shall look at `isStopped`.
    private let bell: Descriptor
    private let lock = ThreadLock()
    private var outcome: Outcome?
    private var isStopped = false
    private var isClosed = false

    init(_ descriptor: consuming Descriptor, _ kind: DescriptorKind, bell: consuming Descriptor) {
        self.descriptor = descriptor
        self.kind = kind
        self.bell = bell
    }

    // MARK: from the loop

    func begin() { lock.withLock { isStopped = false } }

    /// A job that has not ended goes on.
    func resume() { lock.withLock { isStopped = false } }

    func stop() {
        lock.withLock { isStopped = true }
        ring()
    }

    func close() {
        lock.withLock {
            isStopped = true
            isClosed = true
        }
        ring()
    }

    private func ring() {
        var one: UInt64 = 1
        // Fails only if it rings already.
        unsafe _ = Glibc.write(bell.number, &one, 8)
    }

    func takeOutcome() -> Outcome? { lock.withLock { outcome.take() } }

    // MARK: from the thread

    func end(_ outcome: Outcome, _ notify: () -> Void) {
        lock.withLock {
            if isClosed { return }
            self.outcome = outcome
            notify()
        }
    }

    /// Waits for the descriptor; false if the job was called off.
    private func wait(_ events: Int32) -> Bool {
        while true {
            var both = [pollfd(fd: bell.number, events: Int16(POLLIN), revents: 0), pollfd(fd: descriptor.number, events: Int16(events), revents: 0)]
            // An error of poll itself is one that the call after it will have, too.
            if unsafe poll(&both, 2, -1) < 0 && errno == EINTR { continue }
            if both[0].revents != 0 {
                var count: UInt64 = 0
                unsafe _ = Glibc.read(bell.number, &count, 8)
            }
            if lock.withLock({ isStopped }) { return false }
            if both[1].revents != 0 || both[0].revents == 0 { return true }
        }
    }

    func read() -> Outcome {
        while wait(POLLIN) {
            var count = 0
            let bytes = unsafe [UInt8](unsafeUninitializedCapacity: UVChunk.standardCapacity) { target, initialized in
                unsafe count =
                    kind == .socket
                    ? recv(descriptor.number, target.baseAddress, target.count, Int32(MSG_DONTWAIT))
                    : Glibc.read(descriptor.number, target.baseAddress, target.count)
                initialized = max(count, 0)
            }
            if count > 0 { return .read(bytes) }
            if count == 0 { return .ended }
            if errno != EINTR && errno != EAGAIN { return .failed(UVError(code: -errno, call: "read")) }
        }
        return .stopped
    }

    func write(_ bytes: [UInt8]) -> Outcome {
        var rest = bytes[...]
        // A pipe that poll calls writable takes this much without waiting.
        let limit = kind == .file || kind == .device ? Int.max : Int(PIPE_BUF)
        while !rest.isEmpty {
            if !wait(POLLOUT) { return .failed(UVError(code: UV_ECANCELED.rawValue, call: "write")) }
            let count = unsafe rest.prefix(limit).withUnsafeBytes { source in
                unsafe kind == .socket
                    ? send(descriptor.number, source.baseAddress, source.count, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
                    : Glibc.write(descriptor.number, source.baseAddress, source.count)
            }
            if count >= 0 {
                rest = rest.dropFirst(count)
            } else if errno != EINTR && errno != EAGAIN {
                return .failed(UVError(code: -errno, call: "write"))
            }
        }
        return .wrote
    }
}
