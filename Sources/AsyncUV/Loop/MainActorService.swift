internal import UVCore

/// Runs the main actor's jobs while a loop has the process's main thread, where nobody else could.
final class MainActorService {
    private let queue: MainQueue
    private var poll: UVPoll?
    private var isScheduled = false

    /// Nil on another thread, and where it cannot be done.
    static func start(_ loop: EventLoop) throws -> MainActorService? {
        guard ThisThread.isMain, let uv = loop.uv, let queue = MainQueue() else { return nil }
        do {
            return try MainActorService(loop, uv, queue)
        } catch {
            throw LoopError(error, "EventLoop.run", advice: "raise the limit of open descriptors (ulimit -n)")
        }
    }

    private init(_ loop: EventLoop, _ uv: UVLoop, _ queue: MainQueue) throws(UVError) {
        self.queue = queue
        let poll = try UVPoll(loop: uv, descriptor: queue.descriptor) { [unowned self, unowned loop] _ in
            if isScheduled { return }
            isScheduled = true
            // As any other entry of the next turn: user code does not run inside a poll.
            loop.ready.append(
                .call { [self] in
                    isScheduled = false
                    self.queue.runJobs()
                    // Of a LoopTask whose code ran on the main actor.
                    loop.leaveCurrent()
                })
        }
        self.poll = poll
        do throws(UVError) {
            try poll.start(.readable)
        } catch {
            poll.close()
            throw error
        }
    }

    func stop() {
        poll?.close()
        poll = nil
    }
}
