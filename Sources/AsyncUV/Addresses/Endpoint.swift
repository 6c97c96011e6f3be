/// What a connection, listener or socket is at, or goes to: an address of one kind or another.
package enum Endpoint: Hashable, Sendable, CustomStringConvertible {
    case ip(SocketAddress)
    case unix(UnixAddress)
    /// Has no address: a pipe, a terminal.
    case label(String)

    /// The IP address, if it is one.
    package var address: SocketAddress? {
        if case .ip(let address) = self { return address }
        return nil
    }

    package var description: String {
        switch self {
        case .ip(let address): "\(address)"
        case .unix(let address): "\(address)"
        case .label(let name): name
        }
    }
}
