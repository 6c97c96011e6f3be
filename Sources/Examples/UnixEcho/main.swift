// The echo on a Unix socket: UnixEcho --path PATH [--mode OCTAL]. A path that begins with @ is an abstract name. Only the user that runs it, and root, are served.
import AsyncUV
import ExampleSupport
import Glibc

let options = Options("UnixEcho --path PATH [--mode OCTAL]")
let path = options.required("--path"), mode = options.text("--mode") ?? "600"
guard let permissions = Int(mode, radix: 8) else { options.refuse("--mode \(mode): give permissions as chmod does, such as 660") }

options.run {
    let address = try UnixAddress(parsing: path)
    let server = try UnixServer.listen(at: address, permissions: address.path == nil ? nil : permissions, name: "echo") { stream in
        // Permissions do not protect an abstract name; who it is the kernel knows.
        guard [0, geteuid()].contains(try stream.peerCredentials().userID) else { return }
        try await stream.copy(to: stream)
    }
    try options.say("listening on \(address)")
    try await server.run()
}
