/// The errors of a task group, of its tasks in the order in which they came, and of its body last. Prints as a tree.
public struct TaskGroupError: Error, Sendable, CustomStringConvertible {
    /// Never empty, if a group made it.
    public let errors: [any Error]

    public init(errors: [any Error]) { self.errors = errors }

    public var description: String {
        "errors in a task group (\(errors.count)):\n" + lines.joined(separator: "\n")
    }

    private var lines: [String] {
        errors.enumerated().flatMap { index, error -> [String] in
            let last = index == errors.count - 1
            let text = String(describing: error).split(separator: "\n", omittingEmptySubsequences: false)
            return text.enumerated().map { line, content in
                (line == 0 ? (last ? "└─ " : "├─ ") : (last ? "   " : "│  ")) + content
            }
        }
    }
}

/// Tasks that end before the block does: see `withLoopTaskGroup`. On the loop's thread.
public final class LoopTaskGroup: @unchecked Sendable {
    // Sendable: touched on the loop's thread.
    private let parent: AnyLoopTask
    private let file: String
    private let line: Int
    /// Children that are not done, by age: an abort cancels the oldest first.
    private var children: [UInt64: AnyLoopTask] = [:]
    private var errors: [any Error] = []
    private var completed: Future<Void>?
    private var isAborting = false
    private var isExiting = false
    private var isCancelled = false
    /// The group's own request to its parent, when a child has failed or the group was cancelled.
    private var request: CancelOrigin?
    /// Requests that the parent had when the block began.
    private let baseline: Int

    init(parent: AnyLoopTask, file: String, line: Int) {
        self.parent = parent
        self.file = file
        self.line = line
        baseline = parent.cancelling() - (parent.cancellation.pending == nil ? 0 : 1)
    }

    /// Starts a child. Its error aborts the group; its cancellation is no error. The parameters are those of ``LoopTask``.
    ///
    /// - Throws: `LoopError` `.misuse` if the group has ended or is shutting down: then `operation` never runs.
    @discardableResult
    public func addTask<Success: Sendable>(
        name: String? = nil, eager: Bool = false, file: String = #fileID, line: Int = #line,
        @_inheritActorContext operation: sending @escaping () async throws -> Success
    ) throws -> LoopTask<Success> {
        guard parent.loop.isOwner else {
            throw LoopError.misuse("LoopTaskGroup.addTask", on: name ?? "", "called on another thread than the group's loop's")
        }
        if isExiting && children.isEmpty {
            throw LoopError.misuse("LoopTaskGroup.addTask", on: name ?? "", "the group has ended")
        }
        if isAborting {
            throw LoopError.misuse("LoopTaskGroup.addTask", on: name ?? "", "the group is shutting down")
        }
        let task = LoopTask(name: name, on: parent.loop, eager: eager, file: file, line: line, operation: operation)
        if task.isDone {
            ended(task)
        } else {
            children[task.number] = task
            task.whenDone { [self] _ in ended(task) }
            // The eager first step of the child may have aborted the group.
            if isAborting { cancelChild(task) }
        }
        return task
    }

    /// Cancels the children and the block; the block then ends without an error, unless one of them throws something else. Idempotent.
    public func cancel(file: String = #fileID, line: Int = #line) {
        guard parent.loop.isOwner else {
            _ = parent.loop.inbox.post(.call { [self] in cancel(file: file, line: line) })
            return
        }
        if isCancelled || (isExiting && children.isEmpty) { return }
        isCancelled = true
        if !isAborting { abort() }
        requestParent()
    }

    func run<Value>(_ body: (LoopTaskGroup) async throws -> Value) async throws -> Value? {
        var value: Value?
        var failure: (any Error)?
        do {
            value = try await body(self)
        } catch {
            failure = error
        }
        isExiting = true
        var cancellation = failure as? CancelledError
        if failure != nil && !isAborting { abort() }
        while !children.isEmpty {
            let completed = Future<Void>(loop: parent.loop)
            self.completed = completed
            do {
                try await parent.wait(for: completed)
                try completed.throwStoredError()
            } catch let error as CancelledError {
                if !isAborting {
                    cancellation = error
                    abort()
                }
            }
            self.completed = nil
        }
        if let request {
            // The group's own request is taken back in any case. If another remains, that one goes on.
            let remaining = parent.cancellation.withdraw(request)
            if remaining == 0 {
                cancellation = nil
            } else if isCancelled {
                // Cancelled by itself the group ends without an error, but a request from outside that came meanwhile is not its to swallow.
                cancellation = remaining > baseline ? parent.cancellation.requests.last.map { CancelledError($0) } : nil
            }
        }
        if let cancellation, errors.isEmpty { throw cancellation }
        if let failure, !(failure is CancelledError) { errors.append(failure) }
        if !errors.isEmpty {
            parent.renewRequest()
            throw TaskGroupError(errors: errors)
        }
        return value
    }

    private func ended(_ task: AnyLoopTask) {
        children[task.number] = nil
        if children.isEmpty, let completed { completed.setResultUnlessDone(()) }
        guard !task.isCancelled, let error = task.storedError else { return }
        task.reportsError = false
        errors.append(error)
        if !isAborting && request == nil {
            abort()
            requestParent()
        }
    }

    private func abort() {
        isAborting = true
        for (_, child) in children.sorted(by: { $0.key < $1.key }) where !child.isDone { cancelChild(child) }
    }

    private func cancelChild(_ child: AnyLoopTask) { child.requestCancel(origin()) }

    private func requestParent() {
        if request != nil { return }
        let origin = origin()
        request = origin
        parent.requestCancel(origin)
    }

    private func origin() -> CancelOrigin {
        CancelOrigin(.taskGroup, message: nil, file: file, line: line, requester: parent.taskName, turn: parent.loop.turn)
    }
}

/// Runs `body` with a group, and returns when all its tasks are done, those too that were added meanwhile.
///
/// The first task, or body, that throws aborts the group: all others are cancelled, all is awaited, and all errors come as one ``TaskGroupError``. A task that ends
/// cancelled is no error.
///
/// - Cancellation: cancels the tasks, awaits them, and is thrown on; if one of them threw meanwhile the TaskGroupError goes first, and the cancellation is thrown at the
///   caller's next wait.
/// - Throws: ``TaskGroupError``; ``CancelledError``; `LoopError` `.misuse` outside a LoopTask. After ``LoopTaskGroup/cancel(file:line:)`` nothing is thrown for it, unless the
///   body did not get to return its value: then a CancelledError says that it is missing.
@discardableResult
public func withLoopTaskGroup<Value>(
    file: String = #fileID, line: Int = #line, _ body: (LoopTaskGroup) async throws -> Value
) async throws -> Value {
    let group = LoopTaskGroup(parent: try taskForScope("withLoopTaskGroup"), file: file, line: line)
    if let value = try await group.run(body) { return value }
    throw CancelledError(message: "the task group was cancelled before its body returned a value", file: file, line: line)
}

/// As `withLoopTaskGroup`, for a body without a value: a group that is cancelled by ``LoopTaskGroup/cancel(file:line:)`` ends without an error.
///
/// - Cancellation, Throws: as with a value, but for the missing one.
public func withLoopTaskGroup(
    file: String = #fileID, line: Int = #line, _ body: (LoopTaskGroup) async throws -> Void
) async throws {
    _ = try await LoopTaskGroup(parent: try taskForScope("withLoopTaskGroup"), file: file, line: line).run(body)
}
