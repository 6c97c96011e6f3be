internal import CLibUV
internal import Glibc

/// Jobs for a few threads of our own, started when there is work and ended when there has been none for a while. Not libuv's pool: there, code that blocks would
/// hold up files and look-ups.
@safe public final class WorkQueue: @unchecked Sendable {
    /// A job that was submitted.
    public final class Job: @unchecked Sendable {
        // Sendable: touched under the queue's lock.
        fileprivate var body: (@Sendable () -> Void)?
        fileprivate var isRunning = false
        fileprivate var isAbandoned = false

        fileprivate init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    // SAFETY: allocated and initialised in init, destroyed and freed in deinit; every thread of the queue holds the queue.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private let limit: Int
    private let queueLimit: Int
    private let idleSeconds: Int
    /// In the order of submission, from `head` on; one that was taken back keeps its place, without its body.
    private var jobs: [Job] = []
    private var head = 0
    /// Jobs that have not begun, and were not taken back.
    private var waiting = 0
    private var threads = 0
    private var idle = 0
    private var running = 0
    private var abandoned = 0

    public struct Counts: Hashable, Sendable {
        /// Jobs that have not begun.
        public let waiting: Int
        /// Jobs that run, the abandoned ones too.
        public let running: Int
        /// Jobs that run, and for which nobody waits any more.
        public let abandoned: Int
    }

    /// - Parameters:
    ///   - limit: threads at most.
    ///   - queueLimit: jobs that wait at most, besides one for each thread.
    ///   - idleSeconds: a thread without work ends after this time.
    public init(limit: Int, queueLimit: Int = .max, idleSeconds: Int = 10) {
        self.limit = max(limit, 1)
        self.queueLimit = max(queueLimit, 0)
        self.idleSeconds = idleSeconds
        unsafe mutex = .allocate(capacity: 1)
        unsafe condition = .allocate(capacity: 1)
        unsafe mutex.initialize(to: pthread_mutex_t())
        unsafe condition.initialize(to: pthread_cond_t())
        unsafe pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        unsafe pthread_condattr_init(&attributes)
        unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        unsafe pthread_cond_init(condition, &attributes)
        unsafe pthread_condattr_destroy(&attributes)
    }

    deinit {
        unsafe pthread_cond_destroy(condition)
        unsafe pthread_mutex_destroy(mutex)
        unsafe condition.deallocate()
        unsafe mutex.deallocate()
    }

    private func locked<Result>(_ body: () throws -> Result) rethrows -> Result {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// Runs `body` on a thread, in the order of submission as threads get free.
    ///
    /// - Throws: ENOBUFS if too many wait already; if there is no thread at all and none can be started (EAGAIN: the limit of processes, or memory).
    public func submit(_ body: @escaping @Sendable () -> Void) throws(UVError) -> Job {
        let job = Job(body)
        let result: Result<Void, UVError> = locked {
            // Not `waiting` alone: those that come at once wait, however briefly, for threads that are free.
            if waiting + running - limit >= queueLimit { return .failure(UVError(code: UV_ENOBUFS.rawValue, call: "WorkQueue.submit")) }
            // A thread that waits may have been promised to an earlier job already.
            if waiting >= idle && threads < limit {
                let started = startThread()
                // With at least one thread the job will get its turn.
                if started != 0 && threads == 0 { return .failure(UVError(code: -started, call: "pthread_create")) }
            }
            jobs.append(job)
            waiting += 1
            unsafe pthread_cond_signal(condition)
            return .success(())
        }
        try result.get()
        return job
    }

    /// Takes a job back that has not begun. False if it has: then it runs to its end, and counts as abandoned until there.
    public func withdraw(_ job: Job) -> Bool {
        // Let go of outside the lock: what the body holds may submit or withdraw when it goes.
        let body = locked {
            let body = job.body.take()
            if body == nil {
                if job.isRunning && !job.isAbandoned {
                    job.isAbandoned = true
                    abandoned += 1
                }
            } else {
                waiting -= 1
                if jobs.count - head > 2 * waiting + 64 {
                    jobs = jobs[head...].filter { $0.body != nil }
                    head = 0
                }
            }
            return body
        }
        return body != nil
    }

    public var counts: Counts { locked { Counts(waiting: waiting, running: running, abandoned: abandoned) } }

    /// The first that was not taken back. There is one.
    private func takeFirst() -> (Job, @Sendable () -> Void)? {
        while head < jobs.count {
            let job = jobs[head]
            head += 1
            if head >= 64 && head * 2 >= jobs.count {
                jobs.removeFirst(head)
                head = 0
            }
            if let body = job.body.take() {
                waiting -= 1
                running += 1
                job.isRunning = true
                return (job, body)
            }
        }
        return nil
    }

    private func startThread() -> Int32 {
        var attributes = pthread_attr_t()
        unsafe pthread_attr_init(&attributes)
        unsafe pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        defer { unsafe pthread_attr_destroy(&attributes) }
        var thread = pthread_t()
        // SAFETY: the retain is taken over by the thread, which releases it at its end.
        let context = unsafe Unmanaged.passRetained(self)
        let result = unsafe pthread_create(&thread, &attributes, WorkQueue.threadMain, context.toOpaque())
        if result == 0 { threads += 1 } else { unsafe context.release() }
        return result
    }

    // Formed here, in nonisolated code: a C callback written in isolated code checks for its actor, and traps on another thread.
    private static let threadMain: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { context in
        guard let context = unsafe context else { return nil }
        let queue = unsafe Unmanaged<WorkQueue>.fromOpaque(context).takeRetainedValue()
        // Signals belong to the threads of the program.
        var all = sigset_t()
        unsafe sigfillset(&all)
        unsafe pthread_sigmask(SIG_BLOCK, &all, nil)
        while let (job, body) = queue.next() {
            body()
            queue.ended(job)
        }
        return nil
    }

    /// Waits for a job; nil when the thread should end.
    private func next() -> (Job, @Sendable () -> Void)? {
        locked {
            var deadline = timespec()
            unsafe clock_gettime(CLOCK_MONOTONIC, &deadline)
            deadline.tv_sec += idleSeconds
            while waiting == 0 {
                idle += 1
                let result = unsafe pthread_cond_timedwait(condition, mutex, &deadline)
                idle -= 1
                if result == ETIMEDOUT && waiting == 0 {
                    threads -= 1
                    return nil
                }
            }
            return takeFirst()
        }
    }

    private func ended(_ job: Job) {
        locked {
            running -= 1
            job.isRunning = false
            if job.isAbandoned { abandoned -= 1 }
        }
    }
}
