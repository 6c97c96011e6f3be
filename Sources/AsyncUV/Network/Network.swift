package import UVCore

/// What a loop's connections and listeners go through: the system, or something in its place.
///
/// **The seam.** Above it is everything that decides (buffers, limits, cancellation, back-off, the order of attempts), below it only what the kernel does. Nothing
/// below it waits. A test gives a loop a network in memory, and a daemon's code runs on it unchanged.
///
/// All calls come on the loop's thread, and so does everything that is called back.
package protocol Network: AnyObject, Sendable {
    /// It acts by itself, so that a virtual clock must not jump while something is awaited of it. Not so a network whose own time is the loop's.
    var isOutside: Bool { get }

    /// What names are looked up by, where a loop has not been given another.
    var resolver: any Resolver { get }

    /// Begins to connect a stream.
    ///
    /// - Parameters:
    ///   - local: what this end is bound to; nil leaves that to the network.
    ///   - acceptsDescriptors: Unix streams only: descriptors that the peer sends are kept.
    func connect(to remote: Endpoint, from local: Endpoint?, acceptsDescriptors: Bool, on loop: EventLoop) throws(UVError) -> any ConnectAttempt

    /// Begins to listen for streams.
    func listen(at endpoint: Endpoint, _ options: ListenOptions, on loop: EventLoop) throws(UVError) -> any ListenerTransport

    /// Two streams that are connected with each other, as by socketpair(2).
    func pair(acceptsDescriptors: Bool, on loop: EventLoop) throws(UVError) -> (near: any StreamTransport, far: any StreamTransport)

    /// Makes a socket for datagrams. One of the two addresses is given.
    ///
    /// - Parameter peer: the only one that it sends to and hears from.
    func datagrams(at local: SocketAddress?, to peer: SocketAddress?, _ setup: DatagramSetup, on loop: EventLoop) throws(UVError) -> any DatagramTransport
}

extension Network {
    func connect(to remote: Endpoint, from local: Endpoint?, on loop: EventLoop) throws(UVError) -> any ConnectAttempt {
        try connect(to: remote, from: local, acceptsDescriptors: false, on: loop)
    }
}

/// How a listener is set up.
package struct ListenOptions: Sendable {
    package var backlog: Int32
    package var reusePort = false
    /// Unix paths only: what becomes of a socket that is there already.
    package var existing = UnixListener.ExistingSocket.replaceIfDead
    /// Unix paths only: the permissions of the socket's file; nil for what the umask leaves.
    package var permissions: UInt32?
    /// Unix streams only: descriptors that the peer sends are kept.
    package var acceptsDescriptors = false

    package init(backlog: Int32) { self.backlog = backlog }
}

/// A connection on its way. Whoever has it ends it by `takeConnection`, or by `cancel`.
package protocol ConnectAttempt: AnyObject {
    /// Nil as long as it is under way; throws what it failed with.
    func takeConnection() throws(UVError) -> (any StreamTransport)?

    /// Calls `onOutcome` when `takeConnection` may know more. Once is enough.
    func watch(_ onOutcome: @escaping () -> Void) throws(UVError)

    /// Gives up, and leaves nothing behind. Idempotent; after `takeConnection` gave the connection away it does nothing to that.
    func cancel()
}

/// One connection: bytes both ways. Reads into its owner's memory, as long as that has room, and writes what its owner gives it.
package protocol StreamTransport: AnyObject {
    /// Before anything else. The transport holds its owner until it closes.
    func attach(_ owner: any StreamOwner)

    var isReading: Bool { get }
    /// Reads whatever comes, until the owner has no room, or `stopReading`. Idempotent.
    func startReading() throws(UVError)
    func stopReading()

    /// Writes what can go at once, possibly nothing. Only while no write is queued.
    func tryWrite(_ bytes: Span<UInt8>) throws(UVError) -> Int
    /// Queues a chunk, which is the transport's until `streamDidWrite`. One at a time.
    func write(_ chunk: UVChunk) throws(UVError)
    /// The peer reads the end of the stream. Only while no write is queued.
    func shutdownWriting() throws(UVError)

    func set(_ option: SocketOption) throws(UVError)
    func localEndpoint() throws(UVError) -> Endpoint
    /// The system's number for it; -1 once it closes, and where there is none.
    var descriptor: Int32 { get }

    /// Closes; the peer is told that the connection was broken off, where that can be told. Idempotent.
    func reset()
    /// Closes. A chunk that is being written is lost. `then` is called when nothing is left. Idempotent.
    func close(then: (() -> Void)?)
}

extension StreamTransport {
    func close() { close(then: nil) }
}

/// A place where connections arrive.
package protocol ListenerTransport: AnyObject {
    /// With what the network has chosen where it was left to it.
    var endpoint: Endpoint { get }

    /// Takes a connection, if there is one; without one the error is EAGAIN.
    func accept() -> AcceptOutcome
    /// Whether `accept` would find a connection. Without a free descriptor it fails before it looks.
    var hasConnection: Bool { get }

    /// Calls `onConnection` whenever there may be a connection, again and again until `stopWatching`.
    func watch(_ onConnection: @escaping () -> Void) throws(UVError)
    func stopWatching()

    var isClosed: Bool { get }
    /// Connections that nobody has taken are broken off. Idempotent.
    func close()
    /// The system's number for it; -1 once it is closed, and where there is none.
    var descriptor: Int32 { get }
}

package enum AcceptOutcome {
    case connection(any StreamTransport, peer: Endpoint)
    case failed(UVError)
}
