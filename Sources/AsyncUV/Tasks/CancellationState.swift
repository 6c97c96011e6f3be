/// Where a task stands, and what becomes of a request to cancel it. Plain data without a loop: all of asyncio's rules about when
/// a request is delivered are settled here, and tested here.
///
/// Not copyable, because a copy would share the record.
struct CancellationState: ~Copyable {
    enum Phase: UInt8 {
        /// The body has not begun.
        case created
        /// The body runs, here and now.
        case running
        /// In a wait of ours, and nothing has woken it.
        case parked
        /// Woken, or interrupted: the resume is queued.
        case ready
        /// Suspended in foreign async code.
        case foreign
        case done
    }

    /// What the owner has to do after a request.
    enum Action: Equatable {
        /// Done already: nothing happened, `cancel()` returns false.
        case refuse
        /// Remembered; it will be thrown at the next wait that suspends, or at the one that the task is about to return from.
        case remember
        /// Run the wait's undo, then say `interrupted` or, if there was nothing left to undo, `notInterrupted`.
        case undo
        /// Cancel the native task: the request is remembered besides.
        case cancelNative
    }

    /// Nil until there is a request or a shield: most tasks never see one, and a task that sleeps should not hold memory for it.
    private var record: Record?
    private(set) var phase = Phase.created

    private final class Record {
        /// The first request has a place of its own: there is seldom a second, and an array is an allocation.
        var firstRequest: CancelOrigin?
        var moreRequests: [CancelOrigin] = []

        var requests: [CancelOrigin] { firstRequest.map { [$0] + moreRequests } ?? [] }
        var count: Int { firstRequest == nil ? 0 : 1 + moreRequests.count }

        func append(_ origin: CancelOrigin) {
            if firstRequest == nil { firstRequest = origin } else { moreRequests.append(origin) }
        }

        func remove(at index: Int) {
            if index > 0 {
                moreRequests.remove(at: index - 1)
            } else {
                firstRequest = moreRequests.isEmpty ? nil : moreRequests.removeFirst()
            }
        }

        var pending: CancelOrigin?
        var interruption: CancelOrigin?
        var held: CancelOrigin?
        var graceDepth = 0
    }

    /// The record, to be written to.
    private mutating func madeRecord() -> Record {
        if let record { return record }
        let new = Record()
        record = new
        return new
    }

    /// Every request that was not taken back, oldest first: asyncio's count.
    var requests: [CancelOrigin] { record?.requests ?? [] }

    /// Requested, not delivered: thrown by the next wait (asyncio's `_must_cancel`).
    private(set) var pending: CancelOrigin? {
        get { record?.pending }
        set { if record != nil || newValue != nil { madeRecord().pending = newValue } }
    }

    /// The wait was interrupted by this request.
    private(set) var interruption: CancelOrigin? {
        get { record?.interruption }
        set { if record != nil || newValue != nil { madeRecord().interruption = newValue } }
    }

    /// How many grace shields are around the code that runs, and the request that they hold back.
    private(set) var graceDepth: Int {
        get { record?.graceDepth ?? 0 }
        set { madeRecord().graceDepth = newValue }
    }
    private(set) var held: CancelOrigin? {
        get { record?.held }
        set { if record != nil || newValue != nil { madeRecord().held = newValue } }
    }

    var cancelling: Int { record?.count ?? 0 }

    // MARK: requests

    mutating func request(_ origin: CancelOrigin) -> Action {
        if phase == .done { return .refuse }
        madeRecord().append(origin)
        if graceDepth > 0 {
            held = held ?? origin
            return .remember
        }
        return deliver(origin)
    }

    private mutating func deliver(_ origin: CancelOrigin) -> Action {
        switch phase {
        case .parked: return .undo
        case .foreign:
            pending = origin
            return .cancelNative
        case .created, .running, .ready:
            pending = origin
            return .remember
        case .done: return .refuse
        }
    }

    /// The undo worked: the wait ends with this request.
    mutating func interrupted(by origin: CancelOrigin) {
        interruption = origin
        phase = .ready
    }

    /// The undo came too late, what was waited for has happened.
    mutating func notInterrupted(by origin: CancelOrigin) { pending = origin }

    /// Takes the latest request back; the count that remains. At zero a request that was not delivered is forgotten.
    mutating func uncancel() -> Int {
        if cancelling > 0 { madeRecord().remove(at: cancelling - 1) }
        return forgetUndeliveredAtZero()
    }

    /// Takes one request back by identity: a timeout, a group consume their own and no other.
    mutating func withdraw(_ origin: CancelOrigin) -> Int {
        guard let index = requests.lastIndex(where: { $0 === origin }) else { return uncancel() }
        madeRecord().remove(at: index)
        return forgetUndeliveredAtZero()
    }

    private mutating func forgetUndeliveredAtZero() -> Int {
        let count = cancelling
        if count == 0 { pending = nil; held = nil }
        return count
    }

    // MARK: the task's way

    mutating func begin() { phase = .running }

    mutating func park() {
        phase = .parked
        interruption = nil
    }

    /// For a yield: the wake-up is queued already.
    mutating func parkReady() {
        phase = .ready
        interruption = nil
    }

    /// What was waited for has happened. False if the wait had already ended.
    mutating func wake() -> Bool {
        guard phase == .parked else { return false }
        phase = .ready
        return true
    }

    mutating func resume() { phase = .running }

    /// At the end of a wait: the request to throw, if there is one. An interruption swallows what was requested after it.
    mutating func takeDelivery() -> CancelOrigin? {
        if let interruption {
            self.interruption = nil
            pending = nil
            return interruption
        }
        return takePending()
    }

    mutating func takePending() -> CancelOrigin? {
        guard let origin = pending else { return nil }
        pending = nil
        return origin
    }

    mutating func enterForeign() { phase = .foreign }

    /// The body has ended; a request that was not delivered makes the task cancelled, whatever it returned.
    mutating func finish() -> CancelOrigin? {
        phase = .done
        held = nil
        return takePending()
    }

    // MARK: grace

    /// What was requested and not delivered is held back too. Returns the shield's depth, for `leaveGrace`.
    mutating func enterGrace() -> Int {
        graceDepth += 1
        if let origin = takePending() { held = held ?? origin }
        return graceDepth
    }

    /// After an undelivered request has come back by another way, from foreign code that ignored it.
    mutating func remember(_ origin: CancelOrigin) { pending = origin }

    /// The shield at `depth` ends, or its time is over, and with it that of the shields inside. After the outermost, what was held back is as if it had been requested now.
    mutating func leaveGrace(_ depth: Int) -> (CancelOrigin, Action)? {
        if graceDepth < depth { return nil }
        graceDepth = depth - 1
        guard graceDepth == 0, let origin = held else { return nil }
        held = nil
        return (origin, deliver(origin))
    }
}
