/// One datagram that was received.
public struct Datagram: Hashable, Sendable {
    /// What it says; possibly nothing. If it ``isTruncated``, its beginning.
    public var bytes: [UInt8]
    /// Who has sent it, as it says itself.
    public var sender: SocketAddress
    /// How many bytes it had when it came.
    public var size: Int
    /// The address that it was sent to, which may be a group's, with the port of the socket. Nil unless the socket was asked for it (``UDPOptions/tellsDestination``).
    public var destination: SocketAddress?
    /// The number of the interface that it came through; nil unless the socket was asked for the destination.
    public var interface: Int?

    /// It was larger than the socket's limit; the rest of it is lost.
    public var isTruncated: Bool { size > bytes.count }

    package init(bytes: [UInt8], sender: SocketAddress, size: Int? = nil) {
        self.bytes = bytes
        self.sender = sender
        self.size = size ?? bytes.count
    }
}

/// One of several datagrams that are sent together.
public struct OutgoingDatagram: Hashable, Sendable {
    public var bytes: [UInt8]
    /// Nil on a connected socket: to its peer.
    public var address: SocketAddress?

    public init(_ bytes: [UInt8], to address: SocketAddress? = nil) {
        self.bytes = bytes
        self.address = address
    }
}

/// How a ``UDPSocket`` is made.
public struct UDPOptions: Hashable, Sendable {
    /// Other sockets that say so too may be bound to the same address. Which of them gets a datagram is not defined, but each gets those to a group. For receivers of groups.
    public var reusesAddress: Bool
    /// Other sockets of the same user that say so too may be bound to the same address; the kernel spreads senders over them. For several loops that serve one port.
    public var reusesPort: Bool
    /// A socket bound to an IPv6 address leaves IPv4 alone. If false, one bound to `::` serves IPv4 peers too; their addresses are IPv4 ones.
    public var isIPv6Only: Bool
    /// May send to broadcast addresses.
    public var allowsBroadcast: Bool
    /// How many bytes the kernel keeps until they are received, with about as much again for its own notes; it takes no more than `net.core.rmem_max`. Nil is the system's own
    /// size. What does not fit is dropped, and counted: ``UDPSocket/droppedCount()``.
    public var receiveBufferSize: Int?
    /// How many bytes the kernel keeps until they are on their way; no more than `net.core.wmem_max`.
    public var sendBufferSize: Int?
    /// So many bytes of a datagram are received at most, 1 to 65,535; of a larger one the rest is lost, and it is flagged.
    public var maximumDatagramSize: Int
    /// On a socket without a peer: that a datagram could not be delivered (ICMP) is thrown by the next `receive`, with the address that it was sent to. Off, because anybody who
    /// sends a request and goes away can cause that. With a peer it is always on.
    public var reportsUndelivered: Bool
    /// Each datagram says which address it was sent to, and through which interface it came.
    public var tellsDestination: Bool

    public init(
        reusesAddress: Bool = false, reusesPort: Bool = false, isIPv6Only: Bool = true, allowsBroadcast: Bool = false, receiveBufferSize: Int? = nil,
        sendBufferSize: Int? = nil, maximumDatagramSize: Int = 65_535, reportsUndelivered: Bool = false, tellsDestination: Bool = false
    ) {
        self.reusesAddress = reusesAddress
        self.reusesPort = reusesPort
        self.isIPv6Only = isIPv6Only
        self.allowsBroadcast = allowsBroadcast
        self.receiveBufferSize = receiveBufferSize
        self.sendBufferSize = sendBufferSize
        self.maximumDatagramSize = maximumDatagramSize
        self.reportsUndelivered = reportsUndelivered
        self.tellsDestination = tellsDestination
    }
}
