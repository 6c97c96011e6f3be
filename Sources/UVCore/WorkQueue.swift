internal import CLibUV
internal import Glibc

/// Jobs for a few threads of our own, started when there is work and ended when there has been none for a while. Not libuv's pool: there, code that blocks would
/// hold up files and look-ups.
@safe public final class WorkQueue: @unchecked Sendable {
    /// A job that was submitted.
    public final class Job: @unchecked Sendable {
        fileprivate var body: (@Sendable () -> Void)?

        fileprivate init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    // SAFETY: allocated and initialised in init, destroyed and freed in deinit; every thread of the queue holds the queue.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private let limit: Int
    private let idleSeconds: Int
    /// In the order of submission, from `head` on; one that was taken back keeps its place, without its body.
    private var jobs: [Job] = []
    private var head = 0
    /// Jobs that have not begun, and were not taken back.
    private var waiting = 0
    private var threads = 0
    private var idle = 0

    /// - Parameters:
    ///   - limit: threads at most.
    ///   - idleSeconds: a thread without work ends after this time.
    public init(limit: Int, idleSeconds: Int = 10) {
        self.limit = max(limit, 1)
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
    /// - Throws: if there is no thread at all and none can be started (EAGAIN: the limit of processes, or memory).
    public func submit(_ body: @escaping @Sendable () -> Void) throws(UVError) -> Job {
        let job = Job(body)
        let result: Result<Void, UVError> = locked {
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

    /// Takes a job back that has not begun. False if it has.
    public func withdraw(_ job: Job) -> Bool {
        // Let go of outside the lock: what the body holds may submit or withdraw when it goes.
        let body = locked {
            let body = job.body.take()
            if body != nil {
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

    /// The first that was not taken back. There is one.
    private func takeFirst() -> (@Sendable () -> Void)? {
        while head < jobs.count {
            let job = jobs[head]
            head += 1
            if head >= 64 && head * 2 >= jobs.count {
                jobs.removeFirst(head)
                head = 0
            }
            if let body = job.body.take() {
                waiting -= 1
                return body
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
        while let body = queue.next() { body() }
        return nil
    }

    /// Waits for a job; nil when the thread should end.
    private func next() -> (@Sendable () -> Void)? {
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
}
