internal import UVCore

/// What all streams over a libuv handle have in common: the state of both directions, who waits, and the end. Apart from the public object, so that
/// letting go of that one closes this one.
///
/// On the loop's thread only.
final class StreamCore: @unchecked Sendable {
    // Sendable only so that it can be handed back to its own thread.

    enum Phase {
        case open
        /// What was admitted is still sent.
        case closing
        case closed
    }

    // There may be many that are idle: what is small stands together at the end, and what few streams ever have in objects of its own.

    let loop: EventLoop
    /// Nil once closed.
    private(set) var transport: (any StreamTransport)?
    /// Where the stream was created.
    let file: String
    private var rarities: Rarities?

    // MARK: reading: see StreamReading

    /// Bytes that have come and that nobody has taken; a chunk of the pool's, only while there are any.
    var input: UVChunk?
    /// The task that waits for bytes, until it has resumed.
    var reader: AnyLoopTask?
    /// How many bytes it waits for.
    var wanted = 0

    // MARK: writing: see StreamWriting

    /// Writes of at most so many bytes are admitted whole, and no more bytes than that are ever queued.
    var highWater = EventLoop.defaultHighWaterMark
    /// Admitted, and not with the system yet.
    var pending = 0
    /// Admitted since the beginning.
    var admitted: UInt64 = 0
    /// libuv writes from it.
    var inFlight: UVChunk?
    /// Comes after that.
    var joined: UVChunk?
    /// The turn in which the socket was last tried.
    var lastTry = UInt64.max
    /// Tasks that wait for their turn to write, or for room; only the first one is woken. Its methods touch nothing but the links of tasks that their loop holds.
    @safe @exclusivity(unchecked)
    var writers = WaitList()

    // MARK: small things of both

    let peer: Endpoint
    private(set) var phase = Phase.open
    /// Which ways the bytes go; the error says what it is that goes only one.
    var ways = StreamWays.both
    /// Off where others may read the same: then nothing is read unless somebody waits for it.
    var readsAhead = true
    /// Somebody looks at the input: closing must not give its memory to others.
    var isLent = false
    /// There was no room at the last event; at the next one, reading stops.
    var wasFull = false
    /// No more bytes will come.
    var inputEnded = false
    var isFlushScheduled = false
    var isWriteClosed = false
    var isShutDown = false
    /// Bytes that were admitted are lost, and no call has thrown that yet.
    var hasUntoldLoss = false
    let line: UInt32

    /// What few streams have, in an object of its own.
    private final class Rarities {
        var closers = WaitList()
        var flushers = WaitList()
        var received: ReceivedDescriptors?
        var charge: BudgetCharge?
        var readError: UVError?
        var writeError: UVError?
        var endWriting: (() -> Void)?
        var didClose: (() -> Void)?
    }

    private func madeRarities() -> Rarities {
        if let rarities { return rarities }
        let new = Rarities()
        rarities = new
        return new
    }

    /// Tasks in `close` and `waitClosed`.
    private var closers: WaitList {
        get { rarities?.closers ?? WaitList() }
        set { madeRarities().closers = newValue }
    }

    var flushers: WaitList {
        get { rarities?.flushers ?? WaitList() }
        set { madeRarities().flushers = newValue }
    }

    /// What has come with the input, on a stream that takes descriptors.
    var received: ReceivedDescriptors? {
        get { rarities?.received }
        set { if rarities != nil || newValue != nil { madeRarities().received = newValue } }
    }

    /// What it holds of a budget with a limit.
    var charge: BudgetCharge? {
        get { rarities?.charge }
        set { if rarities != nil || newValue != nil { madeRarities().charge = newValue } }
    }

    var readError: UVError? {
        get { rarities?.readError }
        set { if rarities != nil || newValue != nil { madeRarities().readError = newValue } }
    }

    var writeError: UVError? {
        get { rarities?.writeError }
        set { if rarities != nil || newValue != nil { madeRarities().writeError = newValue } }
    }

    /// Instead of an end of writing that the transport can send.
    var endWriting: (() -> Void)? {
        get { rarities?.endWriting }
        set { madeRarities().endWriting = newValue }
    }

    /// Called once, when the stream has closed.
    var didClose: (() -> Void)? {
        get { rarities?.didClose }
        set { if rarities != nil || newValue != nil { madeRarities().didClose = newValue } }
    }

    init(_ transport: any StreamTransport, peer: Endpoint, loop: EventLoop, file: String, line: Int) {
        self.loop = loop
        self.peer = peer
        self.file = file
        self.line = UInt32(clamping: line)
        self.transport = transport
        transport.attach(self)
    }

    func closedError(_ operation: String) -> LoopError {
        if let charge, let verdict = charge.verdict {
            charge.isUntold = false
            return LoopError(.limitExceeded, operation, on: "\(peer)", verdict)
        }
        return LoopError(.closed, operation, on: "\(peer)", "this side has closed the stream")
    }

    // MARK: the end

    func close(by task: AnyLoopTask) async throws {
        beginClosing()
        while phase == .closing && pending > 0 && writeError == nil {
            beginWaitForEnd(by: task)
            await task.park(.leave)
            try endWaitForEnd(by: task, closesIfInterrupted: true)
        }
        closeNow()
        if charge?.isUntold == true { throw closedError("close") }
        try throwUntoldLoss()
    }

    @inline(never)
    private func beginWaitForEnd(by task: AnyLoopTask) {
        closers.append(task)
        loop.outstanding += 1
    }

    @inline(never)
    private func endWaitForEnd(by task: AnyLoopTask, closesIfInterrupted: Bool) throws {
        loop.outstanding -= 1
        closers.remove(task)
        do {
            try task.throwIfInterrupted()
        } catch {
            if closesIfInterrupted { closeNow() }
            throw error
        }
    }

    private func beginClosing() {
        guard phase == .open else { return }
        phase = .closing
        transport?.stopReading()
        reader?.wake()
        writers.wakeAll()
        flushJoined()
    }

    func closeNow() { transport?.close() }

    func abort() { transport?.reset() }

    func waitClosed(by task: AnyLoopTask) async throws {
        while phase != .closed {
            beginWaitForEnd(by: task)
            await task.park(.leave)
            try endWaitForEnd(by: task, closesIfInterrupted: false)
        }
    }

    /// The public object is gone.
    func abandon() {
        if phase == .closed { return }
        loop.report(LoopReport("a stream to \(peer) was never closed: what it had not sent is lost; call close() or abort()", created: "\(file):\(line)"))
        closeNow()
    }

    func wakeClosers() { closers.wakeAll() }
}

extension StreamCore: StreamOwner {
    func chunkToFill() -> UVChunk? { inputToFill() }

    func streamDidRead(_ count: Int) { inputArrived(count) }

    func streamHasNoRoom() -> Bool { inputIsFull() }

    // Asked to read on, the transport says why it cannot.
    func streamIsHeldUp() { reader?.wake() }

    func streamReadingEnded(_ error: UVError?) { inputEnded(error) }

    func streamDidWrite(_ chunk: UVChunk, _ error: UVError?) { outputWritten(chunk, error) }

    func streamWillClose() {
        phase = .closed
        transport = nil
        charge?.streamClosed()
        endWriting = nil
        if let chunk = input.take(), !isLent { loop.chunks.give(chunk) }
        if let chunk = joined.take() { loop.chunks.give(chunk) }
        reader?.wake()
        writers.wakeAll()
        flushers.wakeAll()
        closers.wakeAll()
        didClose.take()?()
    }
}

/// Which ways the bytes of a stream go.
enum StreamWays {
    case both
    case onlyReading
    case onlyWriting
}

extension EventLoop {
    /// As many bytes a stream holds back at most before its writers wait, unless it is told otherwise.
    public static let defaultHighWaterMark = 65_536

    /// At most so many idle buffers of 64 KiB are kept for the next streams that read or have to queue.
    public static let bufferPoolLimit = 128
}
