/// A server on Unix sockets.
public typealias UnixServer = StreamServer<UnixListener>

extension StreamServer where Listener == UnixListener {
    /// Listens at a Unix address, and begins to serve in the next turn. ``run(grace:cleanup:)`` waits for its end.
    ///
    /// - Parameters: as ``UnixListener/listen(at:backlog:permissions:existing:acceptsDescriptors:on:file:line:)`` and ``init(_:name:maximumConnections:closeTimeout:file:line:handler:)``.
    /// - Throws: as these: nothing is left open then.
    public static func listen(
        at address: UnixAddress, permissions: Int? = nil, existing: UnixListener.ExistingSocket = .replaceIfDead,
        name: String = "connection", maximumConnections: Int = .max, closeTimeout: Duration = .seconds(30),
        backlog: Int = TCPListener.defaultBacklog, on loop: EventLoop? = nil,
        file: String = #fileID, line: Int = #line, @_inheritActorContext handler: @escaping Handler
    ) throws -> UnixServer {
        let listener = try UnixListener.listen(
            at: address, backlog: backlog, permissions: permissions, existing: existing, on: loop, file: file, line: line)
        do {
            return try UnixServer(
                [listener], name: name, maximumConnections: maximumConnections, closeTimeout: closeTimeout, file: file, line: line, handler: handler)
        } catch {
            listener.close()
            throw error
        }
    }
}
