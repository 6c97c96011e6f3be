/// Serves the connections of its listeners: one task runs the handler for each.
///
/// **A connection.** Its task is named after the server and the peer. When the handler returns, the stream is closed; for what the handler has written the peer gets so much time
/// as `closeTimeout` says. When it throws, or is cancelled, the stream is aborted. The error goes to the loop's report handler, once; a peer that is gone (`.connectionLost`) and a
/// cancelled handler are no errors.
///
/// **The limit.** Connections above `maximumConnections` are not taken: they wait in the listeners' backlogs until one that is served ends.
///
/// **The end.** ``close()`` ends the listening and leaves the connections alone, ``closeClients()``, ``cancelHandlers(file:line:)`` and ``abortClients()`` end those, and ``waitClosed()`` waits for
/// all of it; ``shutDown(grace:cleanup:)`` does it in order, and so does a cancelled ``run(grace:cleanup:)``. A server whose loop shuts down closes. Until then it serves, whether anybody holds it or not.
///
/// Everything that does not wait belongs to the loop's thread, unless it says otherwise.
public final class StreamServer<Listener: StreamListener>: @unchecked Sendable, CustomStringConvertible {
    // Sendable: touched on the loop's thread only, apart from its constants.

    public typealias Handler = @Sendable @isolated(any) (Listener.Stream) async throws -> Void

    public let loop: EventLoop
    /// What connections are taken from.
    public let listeners: [Listener]
    /// What its tasks are called.
    public let name: String
    /// So many are served at a time.
    public let maximumConnections: Int
    /// So long a peer may take for what was written to it, after the handler has returned. Then its connection is broken off.
    public let closeTimeout: Duration

    private let handler: Handler
    private let file: String
    private let line: Int
    private var acceptors: [Acceptor] = []
    private var connections: [UInt64: Connection] = [:]
    /// Acceptors that wait until fewer connections are served.
    private var waitingForRoom = WaitList()
    /// Tasks in `waitClosed`.
    private var waiters = WaitList()
    private var isRunning = false
    private var counts = ServerStatistics()
    /// It takes no more connections. On the loop's thread.
    public private(set) var isClosed = false

    /// Begins to serve, in the next turn of the listeners' loop.
    ///
    /// - Parameters:
    ///   - listeners: at least one, all of one loop. They become the server's, which closes them.
    ///   - name: what its tasks are called: `NAME 127.0.0.1:49152`.
    ///   - maximumConnections: so many are served at a time, at least 1.
    ///   - closeTimeout: see ``closeTimeout``.
    ///   - handler: what a connection's task does. Isolated as the code that it stands in.
    /// - Throws: `LoopError` `.misuse` without listeners, with those of several loops, or on another thread than the loop's; `.closed`. Then the listeners stay as they were.
    public init(
        _ listeners: [Listener], name: String = "connection", maximumConnections: Int = .max, closeTimeout: Duration = .seconds(30),
        file: String = #fileID, line: Int = #line, @_inheritActorContext handler: @escaping Handler
    ) throws {
        guard let loop = listeners.first?.loop, listeners.allSatisfy({ $0.loop === loop }) else {
            throw LoopError.misuse("StreamServer", on: name, "it needs listeners, and all of one loop")
        }
        if loop.isClosed { throw LoopError(.closed, "StreamServer", on: name, "the loop is closed") }
        guard loop.isOwner else {
            throw LoopError.misuse("StreamServer", on: name, "made on another thread than its loop's; use a LoopTask(on:)")
        }
        if maximumConnections < 1 { throw LoopError.misuse("StreamServer", on: name, "it must be allowed one connection at least") }
        self.loop = loop
        self.listeners = listeners
        self.name = name
        self.maximumConnections = maximumConnections
        self.closeTimeout = closeTimeout
        self.handler = handler
        self.file = file
        self.line = line
        acceptors = listeners.map { Acceptor($0) }
        for acceptor in acceptors {
            let task = LoopTask(name: "accept at \(acceptor.listener)", on: loop, file: file, line: line) { [self] in try await accept(acceptor) }
            acceptor.task = task
            task.whenDone { [self] _ in ended(acceptor) }
        }
    }

    public var description: String { "server \(name) with \(listeners.map(\.description).joined(separator: ", "))" }

    /// Counted at this moment. On the loop's thread.
    public var statistics: ServerStatistics {
        var statistics = counts
        statistics.current = connections.count
        statistics.acceptFailures += listeners.reduce(0) { $0 + $1.acceptFailures }
        return statistics
    }

    // MARK: accepting

    /// One listener, and the task that takes its connections.
    private final class Acceptor: @unchecked Sendable {
        // Sendable: as the server.
        let listener: Listener
        var task: AnyLoopTask?
        /// The server is full, and has asked the task to leave `accept`.
        var pause: CancelOrigin?
        var nextDelay = ListenerCore.firstDelay

        init(_ listener: Listener) { self.listener = listener }
    }

    private func accept(_ acceptor: Acceptor) async throws {
        guard let task = acceptor.task else { return }
        while !isClosed {
            do {
                try await waitForRoom(task)
                let stream = try await acceptor.listener.accept(file: file, line: line)
                acceptor.nextDelay = ListenerCore.firstDelay
                began(stream)
                // The acceptors that this one has paused come before it when there is room again.
                if isFull { await task.parkForOneTurn() }
                _ = takePause(of: acceptor)
                try task.throwIfInterrupted()
            } catch let error as CancelledError {
                guard takePause(of: acceptor) else { throw error }
            } catch let error as LoopError where error.code == .closed && acceptor.listener.isClosed {
                return
            } catch {
                try await backOff(acceptor, error)
            }
        }
    }

    private var isFull: Bool { connections.count >= maximumConnections }

    private func waitForRoom(_ task: AnyLoopTask) async throws {
        while isFull && !isClosed {
            waitingForRoom.append(task)
            await task.park(.leave)
            waitingForRoom.remove(task)
            try task.throwIfInterrupted()
        }
    }

    /// Nobody may take a connection now that the last place is taken: a wait that is cancelled leaves it where it is.
    private func pauseAccepting() {
        counts.pauses += 1
        for acceptor in acceptors where acceptor.pause == nil {
            guard let task = acceptor.task, task !== loop.current else { continue }
            let origin = CancelOrigin(.call, message: "the server is full", file: file, line: line, requester: nil, turn: loop.turn)
            acceptor.pause = origin
            task.requestCancel(origin)
        }
    }

    /// Takes the server's own request back. False if there is another one.
    private func takePause(of acceptor: Acceptor) -> Bool {
        guard let origin = acceptor.pause.take(), let task = acceptor.task else { return false }
        return task.cancellation.withdraw(origin) == 0
    }

    /// What a listener does not know how to go on after may still pass.
    private func backOff(_ acceptor: Acceptor, _ error: any Error) async throws {
        counts.acceptFailures += 1
        if acceptor.nextDelay == ListenerCore.firstDelay { report("a server could not accept, and tries again", error) }
        let delay = acceptor.nextDelay
        acceptor.nextDelay = min(delay * 2, ListenerCore.longestDelay)
        do {
            try await LoopTask.sleep(for: delay)
        } catch {
            guard takePause(of: acceptor) else { throw error }
        }
    }

    /// Its listener was closed, or the loop shuts down. The last one closes the server.
    private func ended(_ acceptor: Acceptor) {
        if let task = acceptor.task, !task.isCancelled, let error = task.storedError {
            task.reportsError = false
            report("a server has stopped to accept", error)
        }
        acceptor.listener.close()
        acceptor.task = nil
        acceptors.removeAll { $0 === acceptor }
        if acceptors.isEmpty { close() }
        wakeWaiters()
    }

    // MARK: connections

    private struct Connection {
        let task: AnyLoopTask
        let stream: Listener.Stream
        /// The server has closed the stream: that its handler finds it closed is no news.
        var isClosedByServer = false
    }

    private func began(_ stream: Listener.Stream) {
        if isClosed {
            stream.abort()
            return
        }
        let handler = handler, closeTimeout = closeTimeout
        let peer = (stream as? LoopStream).map { "\($0.core.peer)" } ?? "\(stream)"
        let task = LoopTask(name: "\(name) \(peer)", on: loop, file: file, line: line) {
            try await handler(stream)
            try await StreamServer.close(stream, within: closeTimeout)
        }
        connections[task.number] = Connection(task: task, stream: stream)
        counts.accepted += 1
        counts.peak = max(counts.peak, connections.count)
        // Outside of the task: one that is cancelled before its first step never runs.
        task.whenDone { [self] _ in ended(task) }
        if isFull { pauseAccepting() }
    }

    private static func close(_ stream: Listener.Stream, within limit: Duration) async throws {
        do {
            try await withTimeout(limit) { try await stream.close() }
        } catch let error as TimeoutError {
            stream.abort()
            throw LoopError(.connectionLost, "close", on: "\(stream)", "the peer has not taken what was written to it: \(error)")
        }
    }

    private func ended(_ task: AnyLoopTask) {
        guard let connection = connections.removeValue(forKey: task.number) else { return }
        // Closed already, if the handler has returned.
        connection.stream.abort()
        if !task.isCancelled, let error = task.storedError {
            task.reportsError = false
            if isLostPeer(error, connection) {
                counts.lost += 1
            } else {
                counts.failed += 1
                report("a connection's handler has failed", error, task: task.name)
            }
        }
        if !isFull { waitingForRoom.wakeAll() }
        wakeWaiters()
    }

    private func isLostPeer(_ error: any Error, _ connection: Connection) -> Bool {
        if let group = error as? TaskGroupError { return group.errors.allSatisfy { isLostPeer($0, connection) } }
        guard let code = (error as? LoopError)?.code else { return false }
        return code == .connectionLost || (code == .closed && connection.isClosedByServer)
    }

    private func report(_ message: String, _ error: any Error, task: String? = nil) {
        loop.report(LoopReport(message, error: error, task: task, created: "\(file):\(line)"))
    }

    // MARK: the end

    /// Stops accepting, at once, and leaves the connections alone. What arrives from now on, or waits in a backlog, the system refuses. Idempotent.
    ///
    /// On the loop's thread; from another it is posted.
    public func close() {
        onLoop { server in
            server.isClosed = true
            // Ends the acceptors, too.
            for listener in server.listeners { listener.close() }
            server.waitingForRoom.wakeAll()
            server.wakeWaiters()
        }
    }

    /// Closes the connections that there are now, as ``ByteStream/close()`` does, limited by ``closeTimeout``. Handlers that read or write get `.closed`.
    ///
    /// On the loop's thread; from another it is posted.
    public func closeClients() {
        onLoop { server in
            server.forEachConnection { connection in
                let stream = connection.stream, limit = server.closeTimeout
                connection.isClosedByServer = true
                let closing = LoopTask(name: "close \(connection.task.name)", on: server.loop, file: server.file, line: server.line) {
                    try await StreamServer.close(stream, within: limit)
                }
                closing.whenDone { closing in
                    // The handler's next operation fails, too, and is what counts.
                    closing.reportsError = false
                    stream.abort()
                }
            }
        }
    }

    /// Cancels the handlers that there are now. Each one's stream is aborted when it has ended.
    ///
    /// On the loop's thread; from another it is posted.
    public func cancelHandlers(file: String = #fileID, line: Int = #line) {
        onLoop { server in
            server.forEachConnection { connection in _ = connection.task.cancel(message: "the server ends", file: file, line: line) }
        }
    }

    /// Breaks off the connections that there are now. Handlers that read or write get `.closed`.
    ///
    /// On the loop's thread; from another it is posted.
    public func abortClients() {
        onLoop { server in
            server.forEachConnection { connection in
                connection.isClosedByServer = true
                connection.stream.abort()
            }
        }
    }

    /// Waits until the server is closed and serves nobody any more, whichever comes first.
    ///
    /// - Cancellation: loses nothing, and changes nothing.
    /// - Throws: `LoopError` `.misuse` in a handler of this server: it would wait for itself.
    public func waitClosed() async throws {
        guard let task = loop.callingTask else {
            return try await bridged("StreamServer.waitClosed", on: loop) { try await self.waitClosed() }
        }
        try refuseHandler(task, "waitClosed")
        while !isOver {
            waiters.append(task)
            await task.park(.leave)
            waiters.remove(task)
            try task.throwIfInterrupted()
        }
    }

    /// Waits until the server is closed and serves nobody any more: a program's main task stays here.
    ///
    /// - Cancellation: shuts the server down, see ``shutDown(grace:cleanup:)``, and then throws. Clients cannot keep it from ending.
    /// - Throws: `LoopError` `.busy` if another task runs it.
    public func run(grace: Duration = .zero, cleanup: Duration = .seconds(10)) async throws {
        guard loop.callingTask != nil else {
            return try await bridged("StreamServer.run", on: loop) { try await self.run(grace: grace, cleanup: cleanup) }
        }
        if isRunning { throw LoopError(.busy, "run", on: name, "another task runs this server; waitClosed() is for several") }
        isRunning = true
        defer { isRunning = false }
        do {
            try await waitClosed()
        } catch let error as CancelledError {
            await windDown(grace, cleanup)
            throw error
        }
    }

    /// Stops accepting; gives the handlers `grace` to come to their end by themselves; cancels the others, which have `cleanup` to do so; then aborts their connections, and returns.
    ///
    /// A handler that refuses even then is named in a report, and left to its loop.
    /// - Parameter grace: with zero the handlers are cancelled at once.
    /// - Cancellation: each goes on to the next step at once; thrown in the end.
    public func shutDown(grace: Duration, cleanup: Duration = .seconds(10)) async throws {
        guard let task = loop.callingTask else {
            return try await bridged("StreamServer.shutDown", on: loop) { try await self.shutDown(grace: grace, cleanup: cleanup) }
        }
        try refuseHandler(task, "shutDown")
        if let cancelled = await windDown(grace, cleanup) { throw cancelled }
    }

    private func refuseHandler(_ task: AnyLoopTask, _ operation: String) throws {
        if connections[task.number] == nil { return }
        throw LoopError.misuse(operation, on: name, "a handler would wait for its own end: call it in another task")
    }

    /// The first cancellation that came meanwhile.
    @discardableResult
    private func windDown(_ grace: Duration, _ cleanup: Duration) async -> CancelledError? {
        var cancelled: CancelledError?
        close()
        for (step, limit) in [grace, cleanup, EventLoop.abortGrace].enumerated() {
            if step == 1 { cancelHandlers() }
            if step == 2 { abortClients() }
            do {
                try await withTimeout(limit) { try await waitClosed() }
                return cancelled
            } catch {
                cancelled = cancelled ?? error as? CancelledError
            }
        }
        forEachConnection { connection in
            loop.report(
                LoopReport(
                    "a connection's handler has not ended, although it was cancelled and its stream aborted", task: connection.task.name,
                    created: "\(file):\(line)"))
        }
        return cancelled
    }

    private var isOver: Bool { isClosed && connections.isEmpty && acceptors.isEmpty }

    private func wakeWaiters() {
        if isOver { waiters.wakeAll() }
    }

    /// By age: what is done to them has an order.
    private func forEachConnection(_ body: (inout Connection) -> Void) {
        for number in connections.keys.sorted() {
            guard var connection = connections[number] else { continue }
            body(&connection)
            connections[number] = connection
        }
    }

    private func onLoop(_ body: @escaping (StreamServer) -> Void) {
        if loop.isOwner {
            body(self)
        } else {
            // Refused by a closed loop only, which has closed everything.
            _ = loop.inbox.post(.call { [self] in body(self) })
        }
    }
}

/// What a server has done so far.
public struct ServerStatistics: Hashable, Sendable {
    /// Connections that are served at this moment…
    public internal(set) var current = 0
    /// …at most so far…
    public internal(set) var peak = 0
    /// …and altogether.
    public internal(set) var accepted = 0
    /// Handlers that have failed, and were reported.
    public internal(set) var failed = 0
    /// Connections that ended because the peer was gone, or did not take in time what was written to it.
    public internal(set) var lost = 0
    /// How often the limit of connections was reached.
    public internal(set) var pauses = 0
    /// How often a connection could not be taken, mostly because of a lack of descriptors or memory. It was not lost by that.
    public internal(set) var acceptFailures = 0
}

extension EventLoop {
    /// A server's handlers have so long, after their connections were aborted.
    static let abortGrace = Duration.seconds(1)
}
