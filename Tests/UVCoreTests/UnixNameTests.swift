import Glibc
import Testing
@testable import UVCore

@Suite struct UnixNameTests {
    /// Binds a socket to `name`, and reads back what the system says that it is bound to.
    private func bound(to name: UnixName) throws -> UnixName? {
        let socket = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        try #require(socket >= 0)
        defer { close(socket) }
        let result = unsafe name.withSystemAddress { unsafe bind(socket, $0, $1) }
        try #require(result == 0, "errno \(errno)")
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let asked = unsafe withUnsafeMutableBytes(of: &storage) {
            unsafe getsockname(socket, $0.assumingMemoryBound(to: sockaddr.self).baseAddress.unsafelyUnwrapped, &length)
        }
        try #require(asked == 0)
        return UnixName(storage, length: length)
    }

    @Test(arguments: [1, 50, 107])
    func theSystemTakesAndGivesBackAnAbstractName(length: Int) throws {
        // Of this process and this length only: tests run side by side.
        let mark = [UInt8]("\(getpid())".utf8.suffix(length - 1)) + [UInt8(length)]
        let name = try #require(UnixName(abstract: mark + [UInt8](repeating: 0, count: length - mark.count)))
        #expect(try bound(to: name) == name)
    }

    @Test func theSystemTakesAndGivesBackTheLongestPath() throws {
        let folder = "/tmp/unix-name-\(getpid())-"
        let path = [UInt8](folder.utf8) + [UInt8](repeating: UInt8(ascii: "x"), count: UnixName.maximumLength - folder.utf8.count)
        let name = try #require(UnixName(path: path))
        defer { unsafe _ = unlink(String(decoding: path, as: UTF8.self)) }
        #expect(try bound(to: name) == name)
    }

    @Test func aSocketThatIsBoundToNothingIsUnnamed() throws {
        var storage = sockaddr_storage()
        storage.ss_family = sa_family_t(AF_UNIX)
        #expect(UnixName(storage, length: 2) == .unnamed)
        #expect(UnixName(storage, length: 0) == .unnamed)
        storage.ss_family = sa_family_t(AF_INET)
        #expect(UnixName(storage, length: 16) == nil)
    }

    @Test func whatDoesNotFitIsNoName() {
        #expect(UnixName(path: [UInt8](repeating: 1, count: 108)) == nil)
        #expect(UnixName(abstract: [UInt8](repeating: 1, count: 108)) == nil)
        #expect(UnixName(path: []) == nil && UnixName(abstract: []) == nil && UnixName(path: [1, 0]) == nil)
    }
}
