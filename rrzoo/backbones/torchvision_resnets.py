"""torchvision's ResNets, without the classifier. The only user of torchvision."""

from torch import Tensor, nn

from rrzoo.backbones.backbone import Backbone


class TorchvisionResNet(Backbone):
    """torchvision's ResNet up to its global pooling: (N, 3, H, W) float -> (N, feature_size) float, >= 0."""

    def __init__(self, name: str) -> None:
        super().__init__()
        import torchvision  # slow to import and of use to these three backbones only

        self.resnet = getattr(torchvision.models, name)(weights=None)
        self.feature_size = self.resnet.fc.in_features
        self.resnet.fc = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) float to (N, feature_size) float."""
        features: Tensor = self.resnet(images)
        return features

    def feature_map(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) float to (N, feature_size, H / 32, W / 32) float."""
        net = self.resnet
        x = net.maxpool(net.relu(net.bn1(net.conv1(images))))
        maps: Tensor = net.layer4(net.layer3(net.layer2(net.layer1(x))))
        return maps
