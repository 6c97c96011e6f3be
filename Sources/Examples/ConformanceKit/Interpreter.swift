import AsyncUV

/// Runs the statements of one program, each as one public call, and keeps its trace.
final class Interpreter: @unchecked Sendable {
    // Sendable: touched on the loop's thread only.
    private let loop: EventLoop
    private let isolated: Bool
    private let primitives: Primitives
    private var tasks: [String: LoopTask<Int>] = [:]
    private var futures: [String: Future<Int>] = [:]
    /// Every task of the program, oldest first.
    private var started: [LoopTask<Int>] = []
    var unfinished: [LoopTask<Int>] { started.filter { !$0.isDone } }
    private(set) var trace: [TraceEntry] = []
    /// Nothing is logged any more: the run is over, and what happens now is the loop's closing.
    var isFrozen = false

    /// - Parameter isolated: the tasks are isolated to `ProgramActor`.
    init(_ program: Program, on loop: EventLoop, isolated: Bool) throws {
        self.loop = loop
        self.isolated = isolated
        primitives = try Primitives(program.sync, on: loop)
    }

    // MARK: the trace

    /// - Returns: nil, for a statement that ends with it.
    @discardableResult
    private func log(_ task: String, _ event: TraceValue...) -> Int? {
        append(task, event)
        return nil
    }

    /// Logs that no task can ever run again, in the driver's own name.
    func logDeadlock() { append("-", ["deadlock"]) }

    private func append(_ task: String, _ event: [TraceValue]) {
        if isFrozen { return }
        trace.append(TraceEntry(tick: Int(loop.now.nanoseconds / 1_000), task: task, event: event))
    }

    private func ticks(_ count: Int) -> Duration { .microseconds(count) }

    // MARK: tasks

    /// Where a statement stands: whose it is, and the scopes around it in the same task.
    private struct Place {
        var task: String
        var group: LoopTaskGroup?
        var timeout: Timeout?
    }

    @discardableResult
    func spawn(_ name: String, _ body: [Statement]) -> LoopTask<Int> {
        let task =
            isolated
            ? LoopTask(name: name, on: loop) { @ProgramActor in try await self.taskMain(name, body) }
            : LoopTask(name: name, on: loop) { try await self.taskMain(name, body) }
        register(task, name)
        return task
    }

    private func spawn(_ name: String, _ body: [Statement], in group: LoopTaskGroup) throws {
        let task =
            isolated
            ? try group.addTask(name: name) { @ProgramActor in try await self.taskMain(name, body) }
            : try group.addTask(name: name) { try await self.taskMain(name, body) }
        register(task, name)
    }

    private func register(_ task: LoopTask<Int>, _ name: String) {
        tasks[name] = task
        started.append(task)
        task.addDoneCallback { [self] ended in
            // In the turn after the end; the run of the loop ends when that turn has run.
            if started[0].isDone && (ended === started[0] || started.allSatisfy(\.isDone)) { loop.stop() }
        }
    }

    private func taskMain(_ name: String, _ body: [Statement]) async throws -> Int {
        log(name, "start")
        do {
            let value = try await run(body, Place(task: name)) ?? 0
            log(name, "end", .text("return:\(value)"))
            return value
        } catch {
            log(name, "end", .text(describe(error)))
            throw error
        }
    }

    // MARK: statements

    /// The value of a `return`; nil if the body runs off its end.
    private func run(_ body: [Statement], _ place: Place) async throws -> Int? {
        for statement in body {
            if let value = try await run(statement, place) { return value }
        }
        return nil
    }

    private func run(_ statement: Statement, _ place: Place) async throws -> Int? {
        let me = place.task
        switch statement {
        case .log(let x): log(me, "log", .text(x))
        case .sleep(let d): try await LoopTask.sleep(for: ticks(d))
        case .raise(let e): throw NamedError(name: e)
        case .return(let v): return v
        case .loop(let n, let body):
            for _ in 0..<n {
                if let value = try await run(body, place) { return value }
            }
        case .attempt(let attempt): return try await run(attempt, place)

        case .spawn(let t, let body): spawn(t, body)
        case .cancel(let t): log(me, "cancel", .text(t), tasks[t].map { .flag($0.cancel()) } ?? "none")
        case .selfCancel: log(me, "cancel-self", .flag(LoopTask.current?.cancel() ?? false))
        case .uncancel: log(me, "uncancel", .number(LoopTask.current?.uncancel() ?? -1))
        case .cancelling: log(me, "cancelling", .number(LoopTask.current?.cancelling() ?? -1))
        case .state(let t): log(me, "state", .text(t), .text(try state(of: tasks[t])))
        case .await(let t):
            guard let task = tasks[t] else { return log(me, "await", .text(t), "none") }
            log(me, "await", .text(t), .text("return:\(try await task.value)"))
        case .waitFor(let t, let d):
            guard let task = tasks[t] else { return log(me, "wait-for", .text(t), "none") }
            log(me, "wait-for", .text(t), .text("return:\(try await LoopTask.waitFor(task, timeout: ticks(d)))"))
        case .shield(let t):
            guard let task = tasks[t] else { return log(me, "shield", .text(t), "none") }
            log(me, "shield", .text(t), .text("return:\(try await LoopTask.shield(task))"))
        case .gather(let ts, exceptions: false):
            log(me, "gather", .list(try await LoopTask.gather(known(ts)).map { .number($0) }))
        case .gather(let ts, exceptions: true):
            log(me, "gather", .list(try await LoopTask.gatherResults(known(ts)).map(outcome)))
        case .wait(let ts, let when, let d):
            let targets = known(ts)
            if targets.isEmpty { return log(me, "wait", .list([]), .list([])) }
            let (done, pending) = try await LoopTask.wait(for: targets, until: when.condition, timeout: d.map(ticks))
            log(me, "wait", names(done), names(pending))

        case .timeout(let d, let body):
            let (value, timeout) = try await withTimeout(d.map(ticks)) { timeout in
                var inner = place
                inner.timeout = timeout
                return (try await run(body, inner), timeout)
            }
            log(me, "timeout-passed", .flag(timeout.isExpired))
            return value
        case .reschedule(let d):
            guard let timeout = place.timeout else { return log(me, "no-timeout") }
            try timeout.reschedule(to: d.map { loop.now.advanced(by: ticks($0)) })
            log(me, "reschedule")
        case .group(let body):
            let value = try await withLoopTaskGroup { group in
                var inner = place
                inner.group = group
                return try await run(body, inner)
            }
            log(me, "group-done")
            return value ?? nil
        case .groupSpawn(let t, let body):
            guard let group = place.group else { return log(me, "no-group") }
            try spawn(t, body, in: group)

        case .futureSet(let f, let v):
            let future = try self.future(f)
            let isPending = !future.isDone
            if isPending { try future.setResult(v) }
            log(me, "future-set", .text(f), .flag(isPending))
        case .futureFail(let f, let e):
            let future = try self.future(f)
            let isPending = !future.isDone
            if isPending { try future.setError(NamedError(name: e)) }
            log(me, "future-fail", .text(f), .flag(isPending))
        case .futureCancel(let f): log(me, "future-cancel", .text(f), .flag(try future(f).cancel()))
        case .futureAwait(let f): log(me, "future", .text(f), .number(try await future(f).value))
        case .futureShield(let f): log(me, "future-shield", .text(f), .number(try await LoopTask.shield(future(f))))

        case .with(let s, let body):
            return try await primitives.holding(s) {
                log(me, "acquired", .text(s))
                let value = try await run(body, place)
                log(me, "releasing", .text(s))
                return value
            }
        case .eventSet(let s): try primitives.event(s).set()
        case .eventClear(let s): try primitives.event(s).clear()
        case .eventWait(let s):
            try await primitives.event(s).wait()
            log(me, "event", .text(s))
        case .conditionWait(let s):
            let condition = try primitives.condition(s)
            try await condition.withLock {
                log(me, "acquired", .text(s))
                try await condition.wait()
                log(me, "notified", .text(s))
            }
        case .conditionNotify(let s, let n):
            let condition = try primitives.condition(s)
            try await condition.withLock {
                try condition.notify(n)
                log(me, "notify", .text(s))
            }
        case .barrierWait(let s):
            _ = try await primitives.barrier(s).wait()
            log(me, "barrier", .text(s))
        case .barrierReset(let s):
            try await primitives.barrier(s).reset()
            log(me, "barrier-reset", .text(s))
        case .barrierAbort(let s):
            try await primitives.barrier(s).abort()
            log(me, "barrier-abort", .text(s))

        case .put(let s, let v):
            try await primitives.queue(s).put(v)
            log(me, "put", .text(s), .number(v))
        case .get(let s): log(me, "got", .text(s), .number(try await primitives.queue(s).get()))
        case .putNow(let s, let v):
            try primitives.queue(s).putNow(v)
            log(me, "put", .text(s), .number(v))
        case .getNow(let s): log(me, "got", .text(s), .number(try primitives.queue(s).getNow()))
        case .taskDone(let s):
            try primitives.queue(s).taskDone()
            log(me, "task-done", .text(s))
        case .join(let s):
            try await primitives.queue(s).join()
            log(me, "joined", .text(s))
        case .shutdown(let s, let immediate):
            try primitives.queue(s).shutDown(immediate: immediate)
            log(me, "shutdown", .text(s))
        }
        return nil
    }

    private func run(_ attempt: Statement.Attempt, _ place: Place) async throws -> Int? {
        guard let finally = attempt.finally else { return try await runAndCatch(attempt, place) }
        let result: Result<Int?, any Error>
        do {
            result = .success(try await runAndCatch(attempt, place))
        } catch {
            result = .failure(error)
        }
        log(place.task, "finally")
        _ = try await run(finally, place)
        return try result.get()
    }

    private func runAndCatch(_ attempt: Statement.Attempt, _ place: Place) async throws -> Int? {
        do {
            return try await run(attempt.body, place)
        } catch {
            let description = describe(error)
            guard attempt.catches.contains(kind(description)) else { throw error }
            log(place.task, "caught", .text(description))
            let value = try await run(attempt.handler, place)
            if value == nil && attempt.reraise { throw error }
            return value
        }
    }

    // MARK: what statements name

    private func known(_ names: [String]) -> [LoopTask<Int>] { names.compactMap { tasks[$0] } }

    private func future(_ name: String) throws -> Future<Int> {
        if let future = futures[name] { return future }
        let future = try Future<Int>(on: loop)
        futures[name] = future
        return future
    }

    private func names(_ tasks: [LoopTask<Int>]) -> TraceValue {
        .list(sortedAsBytes(tasks.map(\.name)).map { .text($0) })
    }

    private func outcome(_ result: Result<Int, any Error>) -> TraceValue {
        switch result {
        case .success(let value): .number(value)
        case .failure(let error): .text(describe(error))
        }
    }

    private func state(of task: LoopTask<Int>?) throws -> String {
        guard let task else { return "none" }
        if !task.isDone { return "pending" }
        if task.isCancelled { return "cancelled" }
        if let error = try task.error() { return describe(error) }
        return "return:\(try task.result())"
    }
}

extension Statement.WaitEnd {
    fileprivate var condition: WaitCondition {
        switch self {
        case .all: .allCompleted
        case .first: .firstCompleted
        case .exception: .firstException
        }
    }
}
