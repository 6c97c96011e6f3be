import AsyncUV
import FuzzSupport

/// Whatever is taken for an address prints as something that is read as the same address; nothing crashes, and nothing is cut off.
@main
enum FuzzAddresses {
    static func main() {
        fuzz { bytes in
            let text = String(decoding: bytes, as: UTF8.self)
            if let address = SocketAddress(text) { check(address) }
            if let address = try? SocketAddress(host: text, port: 80) {
                check(address)
                require(text == "localhost" || (try? HostQuery(host: text, port: 80)) != nil, "an address that is no host: \(text)")
            }
            if let address = try? SocketAddress(bytes: bytes, port: bytes.count, zone: bytes.count == 16 ? Int(bytes[0]) : 0) {
                check(address)
                require(address.bytes == bytes, "other bytes: \(address.bytes)")
            }
            if let address = UnixAddress(text) { check(address) }
            if let address = try? UnixAddress(path: text) {
                check(address)
                require(address.bytes == Array(text.utf8), "another path: \(address)")
            }
            if let address = try? UnixAddress(abstract: text) {
                check(address)
                require(address.bytes == Array(text.utf8), "another name: \(address)")
            }
            if let query = try? HostQuery(host: text, port: 80) {
                require(query.host.utf8.count <= HostQuery.maximumLength + 1 && !text.isEmpty && !text.utf8.contains(0), "not a host: \(text)")
            }
            _ = try? HostQuery(host: "host", service: text)
        }
    }

    private static func check(_ address: SocketAddress) {
        let again = SocketAddress(address.description)
        require(again == address, "\(address) became \(again.map(\.description) ?? "nothing")")
        require(again?.description == address.description, "\(address) prints in two ways")
        require((try? SocketAddress(host: address.host, port: address.port)) == address, "\(address.host) is no host")
        require(!address.isIPv6 || address.unmapped.unmapped == address.unmapped, "\(address) has two IPv4 addresses")
        require(![address.isLoopback && address.isMulticast, address.isUnspecified && address.isLoopback].contains(true), "\(address) is of two kinds")
    }

    private static func check(_ address: UnixAddress) {
        let again = UnixAddress(address.description)
        require(again == address, "\(address) became \(again.map(\.description) ?? "nothing")")
        require(address.bytes.count <= UnixAddress.maximumLength, "\(address) is too long")
        require(address.description.utf8.allSatisfy { $0 >= 32 && $0 != 127 }, "\(address) is not one line")
    }
}
