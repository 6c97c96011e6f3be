import Foundation
import Testing
import UVCore
@testable import AsyncUV

/// A file with these bytes, which has no name any more: who still has it open can be told by its inode.
func marker(_ bytes: [UInt8]) throws -> OwnedDescriptor {
    let path = "/tmp/auv-\(UInt64.random(in: .min ... .max))"
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    return OwnedDescriptor(try Files.open(path))
}

func marker(_ text: String = "marker") throws -> OwnedDescriptor { try marker(Array(text.utf8)) }

/// How many descriptors of this process are open on the same file. Others come and go meanwhile: tests run in parallel.
func openCount(_ file: OwnedDescriptor) throws -> Int {
    let wanted = try Descriptor.identity(of: try #require(file.fileNumber))
    return try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count { entry in
        guard let number = Int32(entry), let identity = try? Descriptor.identity(of: number) else { return false }
        return identity.isSameFile(as: wanted)
    }
}

func text(_ file: OwnedDescriptor) throws -> String {
    String(decoding: try Files.read(try #require(file.fileNumber), at: 0, count: 100), as: UTF8.self)
}

/// So many bytes, of which a piece out of its place would be seen; made by the block, since there are many.
func pattern(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    let block = counted(0..<65_521)
    while bytes.count + block.count <= count { bytes += block }
    return bytes + block[..<(count - bytes.count)]
}
