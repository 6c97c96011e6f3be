/// A server on TCP: `try await TCPServer.serve(host: "0.0.0.0", port: 7) { stream in … }`.
public typealias TCPServer = StreamServer<TCPListener>

extension StreamServer where Listener == TCPListener {
    /// Where it listens.
    public var addresses: [SocketAddress] { listeners.map(\.address) }

    /// Listens at addresses, and begins to serve in the next turn.
    ///
    /// - Parameters: as ``TCPListener/listen(at:backlog:reusePort:on:file:line:)-([SocketAddress],_,_,_,_,_)`` and ``init(_:name:maximumConnections:closeTimeout:file:line:handler:)``.
    /// - Throws: as these: nothing is left open then.
    public static func listen(
        at addresses: [SocketAddress], name: String = "connection", maximumConnections: Int = .max, closeTimeout: Duration = .seconds(30),
        backlog: Int = TCPListener.defaultBacklog, reusePort: Bool = false, on loop: EventLoop? = nil,
        file: String = #fileID, line: Int = #line, @_inheritActorContext handler: @escaping Handler
    ) throws -> TCPServer {
        let listeners = try TCPListener.listen(at: addresses, backlog: backlog, reusePort: reusePort, on: loop, file: file, line: line)
        return try serving(listeners) {
            try TCPServer(
                $0, name: name, maximumConnections: maximumConnections, closeTimeout: closeTimeout, file: file, line: line, handler: handler)
        }
    }

    private static func serving(_ listeners: [TCPListener], _ makeServer: ([TCPListener]) throws -> TCPServer) throws -> TCPServer {
        do {
            return try makeServer(listeners)
        } catch {
            for listener in listeners { listener.close() }
            throw error
        }
    }

    /// Listens at all addresses of a host, and begins to serve in the next turn. ``run(grace:cleanup:)`` waits for its end.
    ///
    /// - Parameters:
    ///   - host: a name, or an address in digits: `0.0.0.0` is every IPv4 address of the machine, `::` every IPv6 one. Of a name's addresses those count that the machine has.
    ///   - port: 0 for any free one, the same at all addresses: see ``addresses``.
    ///
    ///   The others as of ``TCPListener/listen(at:backlog:reusePort:on:file:line:)->TCPListener`` and ``init(_:name:maximumConnections:closeTimeout:file:line:handler:)``.
    /// - Cancellation: leaves nothing open.
    /// - Throws: as these, and as `SocketAddress.resolve`: nothing is left open then.
    public static func listen(
        host: String, port: Int, name: String = "connection", maximumConnections: Int = .max, closeTimeout: Duration = .seconds(30),
        backlog: Int = TCPListener.defaultBacklog, reusePort: Bool = false, on loop: EventLoop? = nil,
        file: String = #fileID, line: Int = #line, @_inheritActorContext handler: @escaping Handler
    ) async throws -> TCPServer {
        guard let loop = loop ?? EventLoop.current, loop.callingTask != nil else {
            return try await bridged("TCPServer.listen", on: loop) {
                try await listen(
                    host: host, port: port, name: name, maximumConnections: maximumConnections, closeTimeout: closeTimeout,
                    backlog: backlog, reusePort: reusePort, on: loop, file: file, line: line, handler: handler)
            }
        }
        let addresses = try await SocketAddress.resolve(host: host, port: port, on: loop)
        let listeners = try TCPListener.listen(at: addresses, skipsUnusable: true) {
            try TCPListener.listen(at: $0, backlog: backlog, reusePort: reusePort, on: loop, file: file, line: line)
        }
        return try serving(listeners) {
            try TCPServer(
                $0, name: name, maximumConnections: maximumConnections, closeTimeout: closeTimeout, file: file, line: line, handler: handler)
        }
    }

    /// Listens at all addresses of a host, and serves until it is cancelled: a whole server in one call.
    ///
    /// - Parameters: as ``listen(host:port:name:maximumConnections:closeTimeout:backlog:reusePort:on:file:line:handler:)`` and ``run(grace:cleanup:)``.
    /// - Cancellation: shuts the server down, see ``shutDown(grace:cleanup:)``, and then throws.
    /// - Throws: as these.
    public static func serve(
        host: String, port: Int, name: String = "connection", maximumConnections: Int = .max, closeTimeout: Duration = .seconds(30),
        grace: Duration = .zero, cleanup: Duration = .seconds(10),
        backlog: Int = TCPListener.defaultBacklog, reusePort: Bool = false, on loop: EventLoop? = nil,
        file: String = #fileID, line: Int = #line, @_inheritActorContext handler: @escaping Handler
    ) async throws {
        let server = try await listen(
            host: host, port: port, name: name, maximumConnections: maximumConnections, closeTimeout: closeTimeout,
            backlog: backlog, reusePort: reusePort, on: loop, file: file, line: line, handler: handler)
        try await server.run(grace: grace, cleanup: cleanup)
    }
}
