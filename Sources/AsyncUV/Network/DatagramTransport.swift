package import UVCore

/// A socket for datagrams. Nothing in it waits: what cannot be done now is EAGAIN, and `watch` says when to try again.
package protocol DatagramTransport: AnyObject {
    /// With the port that the network has chosen where it was left to it.
    var localAddress: SocketAddress { get }
    /// The only one that it sends to and hears from, if there is one.
    var peerAddress: SocketAddress? { get }

    /// Takes up to so many datagrams that are there, and gives them to `body` in their order; `body` does not throw and calls nothing here.
    ///
    /// - Parameter size: so many bytes of each are kept.
    /// - Returns: how many there were; possibly fewer than are there.
    func receive(atMost limit: Int, keeping size: Int, _ body: (Datagram) -> Void) throws(UVError) -> Int

    /// Sends one datagram, whole. To nil only with a peer.
    func send(_ bytes: Span<UInt8>, to address: SocketAddress?) throws(UVError)

    /// Sends the first of the datagrams, in their order: how many, at least one. An error is about the first, and nothing was sent then.
    func send(_ datagrams: ArraySlice<OutgoingDatagram>) throws(UVError) -> Int

    /// What came back about an earlier datagram: the oldest that nobody has taken; nil if there is nothing.
    func takeReturnedError() throws(UVError) -> ReturnedError?

    /// Calls `onReady` whenever something of it may be possible, again and again until it is told otherwise; an empty set ends it. When an error has come back, watching
    /// has ended besides, and `onReady` is called with nil.
    func watch(_ events: UVPoll.Events, _ onReady: @escaping (UVPoll.Events?) -> Void) throws(UVError)

    func set(_ option: DatagramOption, _ value: Int32) throws(UVError)
    func value(of option: DatagramOption) throws(UVError) -> Int32

    /// Joins a multicast group, or leaves it.
    ///
    /// - Parameters:
    ///   - source: only for what this one sends, if it is given.
    ///   - interface: its number; 0 is the one that routes say.
    func setMembership(_ isMember: Bool, of group: SocketAddress, from source: SocketAddress?, interface: UInt32) throws(UVError)

    /// Datagrams that came and were dropped, because the queue was full. Counts to 2³², and then from 0.
    func dropped() throws(UVError) -> UInt32

    var isClosed: Bool { get }
    /// What nobody has taken is dropped. Idempotent.
    func close()
    /// The system's number for it; -1 once it is closed, and where there is none.
    var descriptor: Int32 { get }
}
