internal import UVCore

/// What other threads hand to a loop: one queue under one lock, and one wake-up for as many posts as come before the loop looks.
///
/// Order is kept per thread. After `close` every post is refused; the wake-up handle is touched only under the lock and before that.
final class Inbox: @unchecked Sendable {
    private let lock = ThreadLock()
    private var entries: [ReadyEntry] = []
    private var spare: [ReadyEntry] = []
    private var wake: UVAsync?

    func open(wake: UVAsync) {
        lock.withLock { self.wake = wake }
    }

    /// False if the loop is closed: the entry was not taken and will never run.
    func post(_ entry: ReadyEntry) -> Bool {
        lock.withLock {
            guard let wake else { return false }
            entries.append(entry)
            if entries.count == 1 { wake.send() }
            return true
        }
    }

    /// Gives each entry to `body`, in order. On the loop's thread.
    func drain(_ body: (ReadyEntry) -> Void) {
        var taken = lock.withLock {
            let taken = entries
            entries = spare
            spare = []
            return taken
        }
        if taken.isEmpty {
            lock.withLock { if spare.isEmpty { spare = taken } }
            return
        }
        for entry in taken { body(entry) }
        // The array is used again, unless a burst has made it large.
        if taken.capacity <= 4096 {
            taken.removeAll(keepingCapacity: true)
            lock.withLock { spare = taken }
        }
    }

    /// Refuses all posts from here on; what was taken before can still be drained.
    func close() {
        lock.withLock { wake = nil }
    }
}
