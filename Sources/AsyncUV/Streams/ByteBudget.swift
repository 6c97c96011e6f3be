internal import Synchronization
internal import UVCore

/// A limit for all the bytes that streams have queued to write, together: what bounds the memory of a process whose peers do not read.
///
/// Each stream's high-water mark bounds that stream; a budget bounds the sum. The streams of all loops count against ``process``, which is unlimited until it is told otherwise, unless
/// their loop was given another (``EventLoop/setByteBudget(_:)``). A write needs room in the budget before it is admitted, and gives back at once what the system takes.
/// Everything here may be called from any thread.
public final class ByteBudget: @unchecked Sendable {
    // Sendable: the state has a lock.

    /// What becomes of a write that does not fit.
    public enum Policy: Sendable {
        /// It waits, first come, first served, across all loops. Peers that take nothing can make all others wait: limit the time of writes.
        case wait
        /// The stream whose bytes have been waiting most (how many they are, times how long the system has taken none) is aborted, until there is room. Who uses that stream gets
        /// `LoopError` `.limitExceeded`.
        case closeSlowest
    }

    /// The budget of all loops that were given no other.
    public static let process = ByteBudget()

    private let lock = ThreadLock()
    private var limitBytes: Int
    private var currentPolicy: Policy
    private var usedBytes = 0
    private var peakBytes = 0
    private var waits = 0
    private var closed = 0
    private var queue = RingQueue<Ticket>()
    /// Tickets in the queue that nobody has withdrawn.
    private var waiting = 0
    private var accounts: [WeakAccount] = []
    /// Read at every write, so without the lock.
    private let hasLimit: Atomic<Bool>

    /// - Parameters:
    ///   - limit: in bytes; at least 1. A single write that is larger than all of it goes in when nothing else is queued.
    ///   - policy: what becomes of a write that does not fit.
    public init(limit: Int = .max, policy: Policy = .wait) {
        limitBytes = max(limit, 1)
        currentPolicy = policy
        hasLimit = Atomic(limit < .max)
    }

    var isLimited: Bool { hasLimit.load(ordering: .relaxed) }

    /// In bytes; `Int.max` is none.
    public var limit: Int { lock.withLock { limitBytes } }
    public var policy: Policy { lock.withLock { currentPolicy } }

    /// Changes both, for writes that wait too. A lower limit takes nothing back: writes wait until less is queued. What a stream has queued while there was no limit
    /// counts from its next write on.
    public func set(limit: Int, policy: Policy) {
        let granted = lock.withLock {
            limitBytes = max(limit, 1)
            currentPolicy = policy
            hasLimit.store(limit < .max, ordering: .relaxed)
            return grant()
        }
        tell(granted)
    }

    /// What a budget was used for. Bytes count only while there is a limit.
    public struct Statistics: Hashable, Sendable {
        /// Bytes that are queued, or about to be.
        public let used: Int
        /// The most that ever were.
        public let peak: Int
        /// Writes that wait for room.
        public let waiting: Int
        /// Writes that had to wait so far.
        public let waits: Int
        /// Streams that were closed to make room.
        public let closed: Int
    }

    public var statistics: Statistics {
        lock.withLock { Statistics(used: usedBytes, peak: peakBytes, waiting: waiting, waits: waits, closed: closed) }
    }

    // MARK: taking and giving back

    /// A write that waits for room. Its state belongs to the budget's lock.
    final class Ticket: @unchecked Sendable {
        // Sendable: see above; the charge is touched on its loop's thread only.
        enum State { case waiting, granted, withdrawn }

        let need: Int
        let charge: BudgetCharge
        let loop: EventLoop
        fileprivate var state = State.waiting

        init(_ need: Int, _ charge: BudgetCharge, _ loop: EventLoop) {
            self.need = need
            self.charge = charge
            self.loop = loop
        }
    }

    /// False if there is no room, or others wait for it.
    func take(_ bytes: Int, for account: BudgetAccount) -> Bool {
        lock.withLock {
            guard waiting == 0 && hasRoom(bytes) else { return false }
            add(bytes, account)
            return true
        }
    }

    /// What was queued before anybody counted.
    func takeInAnyCase(_ bytes: Int, for account: BudgetAccount) {
        lock.withLock { add(bytes, account) }
    }

    func giveBack(_ bytes: Int, of account: BudgetAccount) {
        if bytes == 0 { return }
        let granted = lock.withLock {
            usedBytes -= bytes
            account.used -= bytes
            return grant()
        }
        tell(granted)
    }

    /// Queues a ticket; it is granted on its own loop.
    func wait(_ ticket: Ticket) {
        let granted = lock.withLock {
            queue.append(ticket)
            waiting += 1
            waits += 1
            // There may be room since it was asked for.
            return grant()
        }
        tell(granted)
    }

    /// The one who waits has gone. What was granted meanwhile comes back when its loop is told.
    func withdraw(_ ticket: Ticket) {
        let granted = lock.withLock {
            guard ticket.state == .waiting else { return [Ticket]() }
            ticket.state = .withdrawn
            waiting -= 1
            // Those behind it may need less.
            return grant()
        }
        tell(granted)
    }

    private func hasRoom(_ bytes: Int) -> Bool { usedBytes == 0 || bytes <= limitBytes - usedBytes }

    private func add(_ bytes: Int, _ account: BudgetAccount) {
        usedBytes += bytes
        account.used += bytes
        peakBytes = max(peakBytes, usedBytes)
    }

    /// First come, first served: a large write is not overtaken for ever by small ones.
    private func grant() -> [Ticket] {
        var granted: [Ticket] = []
        while let ticket = queue.first {
            if ticket.state == .waiting {
                guard hasRoom(ticket.need) else { break }
                ticket.state = .granted
                waiting -= 1
                add(ticket.need, ticket.charge.account)
                granted.append(ticket)
            }
            _ = queue.popFirst()
        }
        return granted
    }

    /// Outside of the lock.
    private func tell(_ granted: [Ticket]) {
        for ticket in granted {
            if ticket.loop.isOwner {
                ticket.charge.granted(ticket)
            } else if !ticket.loop.inbox.post(.call { ticket.charge.granted(ticket) }) {
                // Its loop has closed, and its stream with it.
                giveBack(ticket.need, of: ticket.charge.account)
            }
        }
    }

    // MARK: making room

    private struct WeakAccount {
        weak var account: BudgetAccount?
    }

    func add(_ account: BudgetAccount) {
        lock.withLock {
            accounts.removeAll { $0.account == nil }
            accounts.append(WeakAccount(account: account))
        }
    }

    /// Closes streams of the loop that has most queued, until nobody waits. On the loop of `account`; others are posted to.
    func makeRoom(from account: BudgetAccount) {
        while let largest = accountToCloseFrom() {
            if largest === account {
                guard account.closeSlowest() else {
                    // All there is was granted in this turn, and is on its way to those who waited.
                    account.loop?.ready.append(.call { [self] in makeRoom(from: account) })
                    return
                }
                lock.withLock { closed += 1 }
            } else {
                // Refused by a loop that has closed: then it gives back what it had.
                _ = largest.loop?.inbox.post(.call { [self] in makeRoom(from: largest) })
                return
            }
        }
    }

    private func accountToCloseFrom() -> BudgetAccount? {
        lock.withLock {
            guard waiting > 0 && currentPolicy == .closeSlowest else { return nil }
            return accounts.compactMap(\.account).filter { $0.used > 0 }.max { $0.used < $1.used }
        }
    }
}

/// A loop's part in its budget.
final class BudgetAccount: @unchecked Sendable {
    // Sendable: `used` belongs to the budget's lock, the rest to the loop's thread.

    let budget: ByteBudget
    private(set) weak var loop: EventLoop?
    fileprivate(set) var used = 0
    /// Streams that have written under a limit. Each knows its place.
    private var charges: [BudgetCharge] = []

    init(_ budget: ByteBudget) { self.budget = budget }

    func add(_ charge: BudgetCharge, _ loop: EventLoop) {
        if self.loop == nil {
            self.loop = loop
            budget.add(self)
        }
        charge.index = charges.count
        charges.append(charge)
    }

    func remove(_ charge: BudgetCharge) {
        guard let last = charges.popLast(), last !== charge else { return }
        charges[charge.index] = last
        last.index = charge.index
    }

    var isEmpty: Bool { charges.isEmpty }

    /// False if no stream has anything queued.
    fileprivate func closeSlowest() -> Bool {
        guard let now = loop?.now else { return false }
        var slowest: (charge: BudgetCharge, score: Double)?
        for charge in charges where charge.bytes > 0 {
            // One millisecond more, so that bytes count also where no time has passed.
            let score = Double(charge.bytes) * (Double(charge.lastProgress.duration(to: now).saturatedNanoseconds) / 1e6 + 1)
            if score > slowest?.score ?? 0 { slowest = (charge, score) }
        }
        slowest?.charge.closeStream(at: now)
        return slowest != nil
    }
}

/// What one stream holds of its loop's budget; made when it first writes under a limit. On the loop's thread.
final class BudgetCharge: @unchecked Sendable {
    // Sendable only so that a ticket can hand it back to its own thread.

    let account: BudgetAccount
    fileprivate var index = 0
    /// Nil once the stream has closed.
    private var core: StreamCore?
    /// What counts in the budget: queued, about to be queued, or granted.
    private(set) var bytes: Int
    /// Of these, what was granted to a write that has not come back for it.
    private var grantedBytes = 0
    /// When the system last took something, or there was nothing queued.
    private(set) var lastProgress: LoopInstant
    private var ticket: ByteBudget.Ticket?
    /// Why the stream was closed, if it was to make room.
    private(set) var verdict: String?
    /// Nobody has been told yet.
    var isUntold = false

    init(_ core: StreamCore) {
        self.core = core
        account = core.loop.budgetAccount
        bytes = core.pending
        lastProgress = core.loop.now
        account.add(self, core.loop)
        if bytes > 0 { account.budget.takeInAnyCase(bytes, for: account) }
    }

    /// A write waits for room.
    var isWaiting: Bool { ticket != nil }

    /// Room for so many more bytes; if there is none now, the stream's first writer is woken when there is.
    func take(_ count: Int, waits: Bool) -> Bool {
        if grantedBytes > 0 {
            let granted = grantedBytes
            grantedBytes = 0
            if granted >= count { return true }
            giveBack(granted)
        }
        guard let core, ticket == nil else { return false }
        if bytes == 0 { lastProgress = core.loop.now }
        if account.budget.take(count, for: account) {
            bytes += count
            return true
        }
        if !waits && account.budget.policy == .wait { return false }
        let ticket = ByteBudget.Ticket(count, self, core.loop)
        self.ticket = ticket
        account.budget.wait(ticket)
        account.budget.makeRoom(from: account)
        if grantedBytes >= count {
            grantedBytes = 0
            return true
        }
        if !waits { abandonTicket() }
        return false
    }

    fileprivate func granted(_ ticket: ByteBudget.Ticket) {
        guard ticket === self.ticket, let core else {
            account.budget.giveBack(ticket.need, of: account)
            return
        }
        self.ticket = nil
        bytes += ticket.need
        grantedBytes += ticket.need
        core.writers.first?.wake()
    }

    /// The write that waited has ended one way or another.
    func abandonTicket() {
        if let ticket = ticket.take() { account.budget.withdraw(ticket) }
        let granted = grantedBytes
        grantedBytes = 0
        giveBack(granted)
    }

    /// The stream holds only so much any more.
    func settle(_ pending: Int) {
        let excess = bytes - grantedBytes - pending
        if excess <= 0 { return }
        if let core { lastProgress = core.loop.now }
        giveBack(excess)
    }

    private func giveBack(_ count: Int) {
        bytes -= count
        account.budget.giveBack(count, of: account)
    }

    func streamClosed() {
        if core == nil { return }
        core = nil
        abandonTicket()
        giveBack(bytes)
        account.remove(self)
    }

    fileprivate func closeStream(at now: LoopInstant) {
        let still = Duration.milliseconds(lastProgress.duration(to: now).saturatedNanoseconds / 1_000_000)
        verdict = "closed to keep the byte budget: \(core?.pending ?? 0) bytes were queued, and for \(still) its peer has taken none"
        isUntold = true
        core?.abort()
    }
}

extension EventLoop {
    /// What the bytes count against that its streams have queued.
    public var byteBudget: ByteBudget { budgetAccount.budget }

    /// Gives the loop a budget of its own, or one that it shares with others. Before its streams have written anything under a limit.
    ///
    /// - Throws: `LoopError` `.misuse` afterwards, or on another thread than the loop's.
    public func setByteBudget(_ budget: ByteBudget) throws {
        try requireOwner("setByteBudget")
        guard budgetAccount.isEmpty else {
            throw LoopError.misuse("setByteBudget", on: description, "its streams have bytes in the budget that it has: set it first")
        }
        budgetAccount = BudgetAccount(budget)
    }
}
