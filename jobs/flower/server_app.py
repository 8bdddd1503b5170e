"""The server of a Flower project."""

from client_app import Net
from flwr.common import Context, ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg


def server_fn(context: Context):
    first = [tensor.numpy() for tensor in Net().state_dict().values()]
    strategy = FedAvg(fraction_fit=0.5, initial_parameters=ndarrays_to_parameters(first))
    return ServerAppComponents(
        strategy=strategy, config=ServerConfig(num_rounds=context.run_config["num-server-rounds"])
    )


app = ServerApp(server_fn=server_fn)
